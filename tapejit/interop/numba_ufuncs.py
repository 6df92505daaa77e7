"""Functions under Numba's @vectorize, of tensors: the Python body of one element, under `vmap`.

Numbers see the body as it is.  Of arrays it is recorded once for all elements (`transforms.vmap`),
so that `x += y` in it means what it means for numbers.  Functions under @guvectorize write to
their last argument and have no such body: they are refused.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tapejit.errors import TraceError
from tapejit.numba_code import calls
from tapejit.numba_code.names import python_body
from tapejit.tensor.core import tensor_of
from tapejit.transforms.vmap import vmap


def recorded(ufunc) -> Callable | None:
    """A ufunc of Numba's as a function of tensors; None for NumPy's own."""
    is_numpys = getattr(np, ufunc.__name__, None) is ufunc
    if isinstance(ufunc, np.ufunc) and ufunc.signature and not is_numpys:
        raise TraceError(
            f"{ufunc.__name__} is a generalized ufunc, as of @guvectorize: it cannot be recorded\n"
            "  try  its body under @njit, which makes its result and returns it, and tj.vmap"
        )
    if python_body(ufunc) is None:
        return None

    def of_one(*numbers):
        return calls.run(ufunc, numbers, {})

    def function(*operands):
        shape = np.broadcast_shapes(*map(np.shape, operands))
        if not shape:
            return of_one(*operands)
        tensors = [tensor_of(x) for x in operands]
        flat = [x.expand(shape).reshape((-1,)) for x in tensors]
        return vmap(of_one)(*flat).reshape(shape)

    return function
