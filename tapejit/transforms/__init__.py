"""Function transforms: grad, value_and_grad, jit, vjp, jvp, jacobian, hessian, hvp, check_grads."""
