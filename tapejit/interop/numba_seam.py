"""Native functions in Numba: what `g.numba(...)` returns is callable in any @njit function.

    native = tj.value_and_grad(f).numba(np.ones(10))

    @njit(cache=True, nogil=True)
    def descend(x):
        value, gradient = native(x)
        ...

The function's LLVM text becomes part of the caller's own code: no Python, no GIL, no address.

This module is all that `import tapejit` loads of it.  Numba asks an object that it does not know
for its `_numba_type_`; only then the rest is imported, and Numba has been by then:

    numba_typing.py     the type of a native function, and of a call of it
    numba_lowering.py   machine code of a call
    numba_cache.py      which cached callers are out of date

There is no `numba_extensions` entry point: it would import tapejit into every program that uses
Numba.  What a native function is: `transforms.native`.
"""

from __future__ import annotations

from tapejit.transforms.native.functions import NativeFunction


def _numba_type(native: NativeFunction):
    """The type of a native function, for Numba."""
    from tapejit.interop import numba_lowering, numba_typing  # noqa: F401 - Numba learns by it

    return numba_typing.type_of(native)


NativeFunction._numba_type_ = property(_numba_type)  # pyright: ignore[reportAttributeAccessIssue]
