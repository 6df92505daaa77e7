"""Functions written for Numba, recorded: `tj.grad(njit_function)`, and @njit functions of tensors.

What Numba compiled cannot be differentiated, so the Python body is recorded instead, with the
names in it meaning what they mean to Numba: `math.sin` takes tensors, `np.empty(n)` may be filled
one element at a time, a callee under @njit is its own Python body.

calls      `run`: an @njit function called with tensors; start here
hook       where Numba's dispatchers meet tensors
names      what the global names of such a body stand for
arrays     `Cells`: an array that is read and written one element at a time
agreement  Numba's own value, where it may differ from the recorded one
"""
