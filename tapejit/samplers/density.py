"""Log densities as C functions: what a sampler calls, without Python and without the GIL.

The one idea: one C signature for all of them (`SIGNATURE`, which is also nutpie's),

    int64 density(uint64 n, const double *x, double *gradient, double *logp, void *data)

status 0: fine; > 0: no density at x (a matrix that is singular), which a sampler rejects; < 0: the
function takes a path at x that has not been recorded, so a sampler stops there, `learn(x)` records
it, and the chain goes on from the draw before.

Start at `density`; `written` takes a gradient that you wrote yourself as an @njit function.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tapejit.errors import ArgumentError, TraceError
from tapejit.runtime import native
from tapejit.samplers.layout import Layout
from tapejit.transforms.gradients import value_and_grad

if TYPE_CHECKING:
    from tapejit.runtime.freestanding import Freestanding

SIGNATURE = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
    ctypes.c_void_p,
)  # fmt: skip


class Density:
    """A log density of nested parameters, on the flat vectors that samplers move in.

    layout   how the parameters lie in a vector (`tapejit.samplers.layout.Layout`)
    size     how many unconstrained numbers there are
    address  of the C function; valid as long as this object lives

    Made by `density` or `written`.

    >>> import numpy as np, tapejit as tj
    >>> d = tj.samplers.density(lambda p: -p["rate"], {"rate": 1.0}, {"rate": tj.samplers.positive})
    >>> d.size, d(np.array([0.0]))  # -exp(u) + u, where rate = exp(u)
    (1, (-1.0, array([0.])))
    """

    def __init__(self, layout: Layout):
        self.layout = layout
        self.size = layout.size

    @property
    def address(self) -> int:
        raise NotImplementedError

    def learn(self, x: np.ndarray) -> None:
        """Make the function know what it does at x, after a status below 0."""
        raise NotImplementedError

    def evaluate(self, x: np.ndarray, gradient: np.ndarray) -> tuple[int, float]:
        """Status and value at x; the gradient is written."""
        value = ctypes.c_double()
        status = SIGNATURE(self.address)(
            self.size, x.ctypes.data, gradient.ctypes.data, ctypes.addressof(value), None
        )
        return status, value.value

    def __call__(self, x) -> tuple[float, np.ndarray]:
        """Log density and gradient at unconstrained numbers, a log determinant included."""
        x = np.ascontiguousarray(x, np.float64)
        if x.shape != (self.size,):
            raise ArgumentError(f"samplers: the density takes shape ({self.size},), got {x.shape}")
        gradient = np.empty(self.size)
        status, value = self.evaluate(x, gradient)
        while status < 0:
            self.learn(x)
            status, value = self.evaluate(x, gradient)
        return (value, gradient) if status == 0 else (-np.inf, np.full(self.size, np.nan))


# ---------------------------------------------------------------- from NumPy


class RecordedDensity(Density):
    """A log density in NumPy, recorded and differentiated; paths are added as they are met."""

    def __init__(self, logp: Callable, layout: Layout):
        super().__init__(layout)
        self._value_and_grad = value_and_grad(_flat(logp, layout))
        self._lock = threading.Lock()
        self._libraries: list[native.NativeLibrary] = []  # earlier ones: a chain may be in there
        self._address = 0
        self.learn(layout.example)

    @property
    def address(self) -> int:
        return self._address

    def learn(self, x):
        with self._lock:
            if self._address and self.evaluate(x, np.empty(self.size))[0] >= 0:
                return  # another chain was here first
            function = self._value_and_grad.numba(x)
            if len(function.code.outputs) != 2:
                raise ArgumentError("samplers: the log density does not depend on the parameters")
            library, self._address = compile_entry(function.code, _DENSITY, "density")
            self._libraries.append(library)
            if self.evaluate(x, np.empty(self.size))[0] < 0:
                raise TraceError(
                    "samplers: the log density takes a path that was just recorded, and does not "
                    f"fit it\n  got  {x}"
                )


def _flat(logp: Callable, layout: Layout) -> Callable:
    """The log density of unconstrained numbers."""
    body = getattr(logp, "py_func", logp)  # an @njit function's own

    def flat(x):
        parameters, log_determinant = layout.constrain(x)
        value = body(parameters)
        if isinstance(value, tuple):
            raise ArgumentError(
                "samplers: the log density must return one number, got a tuple\n"
                "  try  the function itself, not value_and_grad of it"
            )
        return value + log_determinant

    return flat


_DENSITY = """
define i64 @{entry}(i64 %n, ptr %x, ptr %gradient, ptr %logp, ptr %data) nounwind {{
  {allocate}
  %status = call i32 @{symbol}(ptr %x, ptr %logp, ptr %gradient, ptr %work, i64 {n_bytes})
  {release}
  %is_known = icmp sle i32 %status, 0
  br i1 %is_known, label %known, label %missed
known:
  %is_refused = icmp ne i32 %status, 0
  %answer = zext i1 %is_refused to i64
  ret i64 %answer
missed:
  %has_other = icmp ne ptr %data, null
  br i1 %has_other, label %ask, label %end
ask:
  %otherwise = load ptr, ptr %data
  %answered = call i64 %otherwise(i64 %n, ptr %x, ptr %gradient, ptr %logp, ptr null)
  ret i64 %answered
end:
  ret i64 -1
}}
"""
"""The density around a freestanding function.  `data`, if there is any, begins with the address of
a density that is called where no path fits."""

_ALLOCATE = """
  %memory = call ptr @malloc(i64 {n_bytes})
  %place = ptrtoint ptr %memory to i64
  %beyond = add i64 %place, 63
  %aligned = and i64 %beyond, -64
  %work = inttoptr i64 %aligned to ptr"""
"""What needs much memory does not take it from the stack: threads have small ones."""


def compile_entry(code: Freestanding, template: str, name: str) -> tuple[native.NativeLibrary, int]:
    """Compile a function around a freestanding one; its address is valid as long as the library."""
    entry = f"{code.symbol}_{name}"
    allocate, release, declared = "%work = inttoptr i64 0 to ptr", "", ""
    if code.work_bytes:
        allocate = _ALLOCATE.format(n_bytes=code.work_bytes + 63)
        release = "call void @free(ptr %memory)"
        declared = "declare ptr @malloc(i64)\ndeclare void @free(ptr)\n"
    around = template.format(
        entry=entry, symbol=code.symbol, n_bytes=code.work_bytes, allocate=allocate, release=release
    )
    library = native.compile_cached(code.text + declared + around, (entry,), tier=code.tier)
    return library, library.address(entry)


def density(logp: Callable, initial, constraints=None) -> Density:
    """Compile a log density for samplers: a C function of value and gradient.

    logp         a NumPy function of one argument, nested as `initial`; returns one number
    initial      parameters to begin with: numbers and arrays in dicts, lists or tuples
    constraints  as in `nuts`
    Errors       ArgumentError for a result that is no number, or initial values outside of their
                 constraints; KernelError naming an operation that only NumPy can do
    Note         what the function reads from outside is frozen into the code

    `nuts` makes one by itself; make it yourself to sample several times, or to look at it:

    >>> import numpy as np, tapejit as tj
    >>> normal = tj.samplers.density(lambda p: -0.5 * np.sum(p["x"] ** 2), {"x": np.zeros(2)})
    >>> value, gradient = normal(np.array([1.0, 2.0]))
    >>> value, gradient
    (-2.5, array([-1., -2.]))
    """
    if initial is None:
        raise ArgumentError("samplers: initial parameters are needed, to know their shapes")
    return RecordedDensity(logp, Layout(initial, constraints))


# ---------------------------------------------------------------- from Numba


class WrittenDensity(Density):
    """A gradient that a user wrote."""

    def __init__(self, function: Callable, layout: Layout):
        super().__init__(layout)
        self._entry = _entry(function, layout.size)  # keeps the code
        self._address = int(self._entry.address or 0)

    @property
    def address(self) -> int:
        return self._address

    def learn(self, x):
        raise ArgumentError(f"samplers: the density ended with a status below 0 at {x}")


def _entry(function, size):
    """The C function around an @njit function (position, gradient) -> value."""
    from numba import carray, cfunc, types  # pyright: ignore[reportPrivateImportUsage]

    number = types.CPointer(types.double)

    @cfunc(types.int64(types.uint64, number, number, number, types.voidptr))
    def entry(n, x, gradient, logp, data):
        try:
            carray(logp, (1,))[0] = function(carray(x, (size,)), carray(gradient, (size,)))
        except Exception:
            return 1
        return 0

    return entry


def written(function: Callable, initial) -> Density:
    """A density whose gradient you wrote: an @njit function of two float64 arrays.

    function  (position, gradient) -> log density; it writes the gradient into its second argument.
              A point where it raises has no density.
    initial   parameters to begin with, nested; the position is all of them in a row
    Errors    ArgumentError unless it is an @njit function

    >>> import numba, numpy as np, tapejit as tj
    >>> @numba.njit
    ... def normal(x, gradient):
    ...     gradient[:] = -x
    ...     return -0.5 * np.sum(x * x)
    >>> value, gradient = tj.samplers.written(normal, np.zeros(2))(np.array([1.0, 2.0]))
    >>> value, gradient
    (-2.5, array([-1., -2.]))
    """
    if not hasattr(function, "py_func"):
        raise ArgumentError(
            "samplers: written takes an @njit function (position, gradient) -> log density\n"
            f"  got  {function!r}\n"
            "  try  numba.njit(function), or give the log density alone to density or nuts"
        )
    return WrittenDensity(function, Layout(initial))
