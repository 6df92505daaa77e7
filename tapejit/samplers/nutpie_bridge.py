"""A density for nutpie: the raw pointers that its sampler, written in Rust, calls without the GIL.

The one idea: nutpie takes what PyMC compiles with Numba, two C functions and their names; `Density`
has the first of them, value and gradient, and this makes the second, which turns a draw into the
parameters as users know them.  A path of the density that is met for the first time is recorded by
a call back into Python, and the point is answered there.

It does not sample: that is `nutpie.sample`.  Written for nutpie 0.16, whose model class is
`nutpie.compile_pymc.CompiledPyMCModel`.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tapejit.errors import ArgumentError
from tapejit.samplers.density import SIGNATURE, Density, compile_entry, density
from tapejit.transforms.gradients import jit

_EXPAND = """
define i64 @{entry}(i64 %n, i64 %m, ptr %x, ptr %values, ptr %data) nounwind {{
  {allocate}
  %status = call i32 @{symbol}(ptr %x, ptr %values, ptr %work, i64 {n_bytes})
  {release}
  %wide = sext i32 %status to i64
  %answer = sub i64 0, %wide
  ret i64 %answer
}}
"""


class Pointer(NamedTuple):
    """What nutpie reads of a Numba function."""

    address: int


def nutpie_model(logp: Callable | Density, initial=None, *, constraints=None, jitter: float = 1.0):
    """The density as a compiled model for `nutpie.sample`.

    logp, initial, constraints, jitter  as in `nuts`
    Returns  a nutpie.CompiledModel; samples have the parameters' names, nested ones joined by dots
    Errors   ModuleNotFoundError without nutpie; what `density` raises
    Like     nutpie.compile_pymc_model, of a NumPy function

    >>> import numpy as np, tapejit as tj
    >>> try:
    ...     import nutpie
    ...     model = tj.samplers.nutpie_model(lambda p: -0.5 * np.sum(p["x"]**2), {"x": np.ones(2)})
    ...     trace = nutpie.sample(model, draws=100, tune=200, chains=2, seed=1, progress_bar=False)
    ...     shape = trace.posterior["x"].shape
    ... except ModuleNotFoundError:  # pip install 'tapejit[samplers]'
    ...     shape = (2, 100, 2)
    >>> shape
    (2, 100, 2)
    """
    try:
        compile_pymc: Any = importlib.import_module("nutpie.compile_pymc")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"samplers: nutpie_model needs nutpie ({error})\n  try  pip install 'tapejit[samplers]'"
        ) from error
    if isinstance(logp, Density) and (initial is not None or constraints is not None):
        raise ArgumentError("nutpie: a Density has its initial values and constraints already")
    target = logp if isinstance(logp, Density) else density(logp, initial, constraints)
    pieces = target.layout.pieces
    names = [piece.name for piece in pieces]
    shapes = [piece.shape for piece in pieces]
    sizes = [int(np.prod(shape)) for shape in shapes]
    ends = np.cumsum(sizes).tolist()
    expand = _Expansion(target)
    otherwise = _otherwise(target)

    def initial_point(seed) -> np.ndarray:
        offset = np.random.default_rng(seed).uniform(-jitter, jitter, target.size)
        return target.layout.example + offset

    return compile_pymc.CompiledPyMCModel(
        dims={},
        compiled_logp_func=Pointer(target.address),
        compiled_expand_func=Pointer(expand.address),
        initial_point_func=initial_point,
        shared_data={},
        user_data=np.array([ctypes.cast(otherwise, ctypes.c_void_p).value], np.uint64),
        n_expanded=ends[-1],
        shape_info=(names, [slice(e - s, e) for e, s in zip(ends, sizes, strict=True)], shapes),
        logp_func=(target, otherwise),  # kept alive by the model
        expand_func=expand,
        _n_dim=target.size,
        _shapes=dict(zip(names, shapes, strict=True)),
        _coords={},
    )


class _Expansion:
    """The C function from unconstrained numbers to all parameters in a row."""

    def __init__(self, target: Density):
        layout = target.layout

        def expand(x):
            values = layout.expand(x)
            return np.concatenate([np.reshape(values[p.name], -1) for p in layout.pieces])

        code = jit(expand).numba(layout.example).code
        self.library, self.address = compile_entry(code, _EXPAND, "expand")


def _otherwise(target: Density):
    """A function of the density's own signature that knows all paths, because it is Python."""

    def answer(n, x, gradient, logp, data) -> int:
        def array(address):
            return np.ctypeslib.as_array(ctypes.cast(address, _NUMBERS), (target.size,))

        try:
            value, slopes = target(array(x).copy())
        except Exception:
            return -1  # nutpie ends with this number
        array(gradient)[:] = slopes
        ctypes.cast(logp, _NUMBERS)[0] = value
        return 0 if np.isfinite(value) else 1

    return SIGNATURE(answer)


_NUMBERS = ctypes.POINTER(ctypes.c_double)
