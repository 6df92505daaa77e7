"""What users touch: tensors with PyTorch's semantics over a flat tape.

recording         the tape eager operations append to; memory, in-place notes, user's lines
core              Tensor, `apply` (the one way an operation runs), its fast path
front             the table of public names
arithmetic reducing products contractions picking creation random
                                                              the functions
shaping repeating parts joining diagonals padding             shapes
indexing scattering numpy_shapes                              places
attributes        shape, dtype, device, memory
history           requires_grad, grad_fn, grad, hooks, backward, detach
conversion        numbers, lists, arrays, text, other dtypes, copies
exchange          memory shared with CuPy, PyTorch, JAX, Numba
inplace inplace_methods inplace_shapes    changes in place and views
backward          the engine
autograd autograd_functional modes    PyTorch's autograd module
"""
