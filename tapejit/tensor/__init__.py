"""What users touch: tensors with PyTorch's semantics over a flat tape.

    recording       the tape eager operations append to; memory, in-place notes, users' lines
    core            Tensor, and `apply`, the one way an operation runs; start here
    elementwise     the fast path of it
    front           the table of public names; docstrings: theirs
    escapes guards  numbers that leave a tensor, unasked and asked

Functions and methods:

    arithmetic composed complexes           one value per element
    reducing statistics scanning            sums, means, extremes, running ones
    products contractions                   matrix products, einsum
    creation ranges                         from nothing
    random draws sampling gpu_seeds         streams of random numbers, and what is made of them
    shaping repeating parts joining diagonals padding numpy_shapes
                                            the same elements in another form
    indexing picking scattering ordering distinct curves
                                            places, order, interpolation
    attributes conversion printing          what a tensor is, as numbers and as text
    exchange                                memory shared with CuPy, PyTorch, JAX, Numba
    inplace inplace_methods inplace_shapes  changes in place, and views

Derivatives:

    history         requires_grad, grad_fn, grad, hooks, backward, detach
    backward        the engine; sweeps: what it runs; replaying: a sweep as recorded operations
    autograd autograd_functional modes function
                    PyTorch's autograd module
    calls           functions with a rule of their own; transposing: one rule from the other
"""
