"""Function transforms: grad, value_and_grad, jit, vjp, jvp, jacobian, hessian, hvp, check_grads.

What users call:

    gradients       jit, value_and_grad, grad: the shortest way through all of this; start here
    products        jvp, hvp; pullbacks: vjp
    jacobians       jacobian, hessian; jacobian_rows: one program for all rows; `sparse`
    vmap            a function of one sample, for all samples at once
    custom_rules    functions with a rule of their own; rule_values: what goes in and out of it
    checking        check_grads; explaining: explain; devices: `device=`
    scalar          `elementwise`; native: `.numba`, `export`

What they share, from a call to its answer:

    wrapping        the callable that users get
    dispatch        signatures, inner and outermost calls, answers in the caller's language
    trees           nested arguments and answers; destinations: `out=`
    paths           the compiled programs of a function, chosen by signature and guards
    trace           one run of a function, kept as a tape
    reading         what the function read besides its arguments
    running         derivatives where rules of the user's are called; replay: a tape as operations
    nearest         why a call was recorded again
    entering        the native record of a path: later calls run without Python
"""
