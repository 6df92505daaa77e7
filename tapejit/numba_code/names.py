"""What the names in a recorded Numba body stand for.

A recorded body is the same code object over other globals: `math`, `np` and `numba` are namespaces
of functions that take tensors and `Cells`, a name of an @njit function is that function's recorded
body, `float` and `np.float64` cast without reading.  Only the names that the code has are looked
up, afresh for every recording, in the function's own globals, builtins and closure cells: what a
guard compares is what is read here.

Start at `Names.function`.  What only Numba can run becomes an `OnlyNumba`, which raises when used.
"""

from __future__ import annotations

import builtins
import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.errors import TraceError
from tapejit.numba_code.arrays import Cells, call, converted, made, plain
from tapejit.registry import OPS
from tapejit.sites import describe_site, user_site
from tapejit.tensor.core import Tensor, apply
from tapejit.tensor.front import FUNCTIONS

# ---------------------------------------------------------------- numbers


def _of_number(name: str, plain_function: Callable):
    """A function of math that takes tensors too."""
    ours = FUNCTIONS[name]

    def function(x, *others):
        if isinstance(x, Tensor) or any(isinstance(other, Tensor) for other in others):
            return ours(x, *others)
        return plain_function(x, *others)

    return function


def _log(x, base=None):
    if base is None:
        return FUNCTIONS["log"](x) if isinstance(x, Tensor) else math.log(x)
    return _log(x) / _log(base)


def _gamma(x: Any):
    if not isinstance(x, Tensor):
        return math.gamma(x)
    size = FUNCTIONS["exp"](FUNCTIONS["lgamma"](x))
    is_negative = bool(x < 0.0) and int(FUNCTIONS["floor"](x)) % 2 == 1  # type: ignore[operator]
    return -size if is_negative else size


def _modf(x):
    whole = FUNCTIONS["trunc"](x) if isinstance(x, Tensor) else float(math.trunc(x))
    return x - whole, whole


def _whole(name):
    """floor, ceil, trunc: integers, read from tensors."""

    def function(x):
        return int(FUNCTIONS[name](x)) if isinstance(x, Tensor) else getattr(math, name)(x)

    return function


def _predicate(name):
    def function(x):
        return bool(FUNCTIONS[name](x)) if isinstance(x, Tensor) else getattr(math, name)(x)

    return function


_SAME = (
    "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh exp exp2 expm1 log1p log2 "
    "log10 sqrt hypot erf erfc lgamma copysign fmod"
)
MATH: dict[str, Any] = {name: _of_number(name, getattr(math, name)) for name in _SAME.split()}
MATH |= {name: _whole(name) for name in ("floor", "ceil", "trunc")}
MATH |= {name: _predicate(name) for name in ("isnan", "isinf", "isfinite")}
MATH |= {
    "log": _log,
    "modf": _modf,
    "ldexp": lambda x, exponent: x * 2.0 ** int(exponent),
    "gamma": _gamma,
    "pow": _of_number("pow", math.pow),
    "fabs": _of_number("abs", math.fabs),
    "degrees": lambda x: x * (180.0 / math.pi),
    "radians": lambda x: x * (math.pi / 180.0),
}


def _extreme(plain_function: Callable, is_better: Callable):
    """min or max: of tensors a choice, which is no branch of the program."""

    def function(*args: Any, **options: Any):
        items: list = list(args) if len(args) > 1 else list(*args)
        if options or not any(isinstance(item, Tensor) for item in items):
            return plain_function(*args, **options)
        best = items[0]
        for item in items[1:]:
            better = is_better(item, best)
            if isinstance(better, Tensor):
                best = apply(OPS["where"], (better, item, best))
            else:
                best = item if better else best
        return best

    return function


class Cast(type):
    """A number type: called, it converts and keeps the derivative; elsewhere it means its dtype."""

    dtype: np.dtype
    __tapejit_kind__: Any

    def __call__(cls, value: Any = 0, imaginary: Any = None):
        if imaginary is not None:
            return cls(value) + 1j * imaginary
        dtype = cls.dtype
        if isinstance(value, Cells):
            return value.astype(dtype)
        if isinstance(value, Tensor):
            return converted(value, dtype)
        return made(cls.__tapejit_kind__(value))

    def __instancecheck__(cls, value):
        if isinstance(value, Tensor):
            return value._aval.dtype.dtype == cls.dtype
        return isinstance(value, cls.__tapejit_kind__)

    def __eq__(cls, other):
        return cls is other or np.dtype(cls.dtype) == getattr(other, "dtype", other)

    def __hash__(cls):
        return hash(cls.dtype)


_CASTS: dict[Any, Cast] = {}


def cast_to(kind) -> Cast:
    """The Cast of a number type."""
    if kind not in _CASTS:
        _CASTS[kind] = Cast(kind.__name__, (), {"dtype": np.dtype(kind), "__tapejit_kind__": kind})
    return _CASTS[kind]


BUILTINS = {
    "float": cast_to(float),
    "complex": cast_to(complex),
    "min": _extreme(min, lambda a, b: a < b),
    "max": _extreme(max, lambda a, b: a > b),
}

# ---------------------------------------------------------------- arrays


def _zeros(shape, dtype: Any = float, **hints):
    return made(np.zeros(plain(shape), plain(dtype)))


def _ones(shape, dtype: Any = float, **hints):
    return made(np.ones(plain(shape), plain(dtype)))


def _full(shape, fill_value, dtype=None):
    if dtype is None:
        dtype = _dtype_of(fill_value)
    array = _zeros(shape, dtype)
    array[...] = fill_value
    return array


def _like(make):
    def function(a, *value, dtype=None, **hints):
        shape = a.shape if hasattr(a, "shape") else np.shape(plain(a))
        return make(tuple(shape), *value, dtype=_dtype_of(a) if dtype is None else dtype)

    return function


def _dtype_of(x) -> np.dtype:
    return x._aval.dtype.dtype if isinstance(x, Tensor) else getattr(x, "dtype", np.dtype(type(x)))


def _array(source, dtype=None, **hints):
    """np.array of nested lists and tuples with tensors in them, or of an array."""
    if isinstance(source, Cells):
        return source.copy("K") if dtype is None else source.astype(plain(dtype))
    leaves: list = []
    shape = _flatten(source, leaves)
    if not any(isinstance(leaf, Tensor) for leaf in leaves):
        return made(np.array(_unpacked(source), plain(dtype)))
    kind = np.result_type(*map(_dtype_of, leaves)) if dtype is None else np.dtype(plain(dtype))
    array = _zeros(shape, kind)
    if not shape:
        return converted(source, kind)
    for place, leaf in enumerate(leaves):
        array.memory.write(place, leaf)
    return array


def _unpacked(source):
    if isinstance(source, list | tuple):
        return [_unpacked(item) for item in source]
    return plain(source)


def _flatten(source, leaves) -> tuple:
    """The numbers of a nested sequence; its shape."""
    if isinstance(source, np.ndarray):
        source = made(source)
    if not isinstance(source, list | tuple | Cells):
        leaves.append(source)
        return ()
    shapes = {_flatten(item, leaves) for item in source}
    if len(shapes) > 1:
        raise ValueError("setting an array element with a sequence: rows of different lengths")
    return (len(source), *(shapes.pop() if shapes else ()))


def _asarray(source, dtype=None, **hints):
    is_same = isinstance(source, Cells) and (
        dtype is None or np.dtype(plain(dtype)) == source.dtype
    )
    return source if is_same else _array(source, dtype)


def _contiguous(order):
    """np.ascontiguousarray, np.asfortranarray: the array itself only where it lies so."""

    def function(source, dtype=None):
        array = _asarray(source, dtype)
        if not isinstance(array, Cells) or getattr(array.places.flags, f"{order}_contiguous"):
            return array
        return array.copy(order.upper())

    return function


def _ndenumerate(array):
    return ((place, array[place]) for place in np.ndindex(*array.shape))


def _shape(array):
    return tuple(array.shape) if hasattr(array, "shape") else np.shape(plain(array))


NUMPY: dict[str, Any] = {
    "zeros": _zeros, "empty": _zeros, "ones": _ones, "full": _full,
    "zeros_like": _like(_zeros), "empty_like": _like(_zeros), "ones_like": _like(_ones),
    "full_like": _like(_full), "array": _array, "asarray": _asarray, "copy": _array,
    "ascontiguousarray": _contiguous("c"),
    "asfortranarray": _contiguous("f"), "ndenumerate": _ndenumerate,
    "shape": _shape, "ndim": lambda a: len(_shape(a)), "size": lambda a: math.prod(_shape(a)),
    "ndindex": np.ndindex, "newaxis": None, "ndarray": np.ndarray, "dtype": np.dtype,
}  # fmt: skip


class Call:
    """A function of NumPy's, for Cells."""

    __slots__ = ("function",)

    def __init__(self, function):
        self.function = function

    def __call__(self, *args, **kwargs):
        return call(self.function, args, kwargs)

    def __getattr__(self, name):
        found = getattr(self.function, name)
        return Call(found) if callable(found) else found


# ---------------------------------------------------------------- Numba's own


class OnlyNumba:
    """What only Numba can run."""

    def __init__(self, name):
        self._name = name

    def _refuse(self, *args, **kwargs):
        raise TraceError(
            f"{self._name} can only be run by Numba: it cannot be recorded\n"
            f"  at   {describe_site(user_site())}\n"
            "  try  to do it outside the function that is differentiated"
        )

    __call__ = __enter__ = __iter__ = __getitem__ = _refuse

    def __exit__(self, *exception):
        pass

    def __getattr__(self, name):
        return OnlyNumba(f"{self._name}.{name}")


class _List(list):
    """numba.typed.List, while recording."""

    @classmethod
    def empty_list(cls, *_, **__):
        return cls()


class _Dict(dict):
    """numba.typed.Dict, while recording."""

    @classmethod
    def empty(cls, *_, **__):
        return cls()


NUMBA: dict[str, Any] = {
    "prange": range, "literal_unroll": lambda x: x, "literally": lambda x: x, "List": _List,
    "Dict": _Dict, "objmode": None, "get_num_threads": None, "set_num_threads": None,
    "get_thread_id": None, "threading_layer": None, "gdb": None, "boolean": cast_to(bool),
}  # fmt: skip
"""Numba's names in recorded code; None: as they are."""


# ---------------------------------------------------------------- translation


class Namespace:
    """A module in recorded code."""

    def __init__(self, names: Names, module, own: dict):
        self._names, self._module, self._own = names, module, own

    def __getattr__(self, name):
        found = self._own.get(name)
        if found is None:
            found = self._names.translate(getattr(self._module, name), name)
        self.__dict__[name] = found
        return found


class Names:
    """The recorded versions of what one recording meets."""

    def __init__(self):
        self.known: dict[int, tuple] = {}  # id -> what it is, and what it becomes
        self.draws = False  # whether random numbers are about

    def function(self, function: types.FunctionType) -> types.FunctionType:
        """A function with the same code, whose names mean their recorded versions."""
        known = self.known.get(id(function))
        if known is not None:
            return known[1]
        scope: dict[str, Any] = {
            "__builtins__": function.__globals__.get("__builtins__", builtins),
            "__name__": function.__globals__.get("__name__") or "tapejit",  # made by Numba
        }
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        result = types.FunctionType(
            function.__code__, scope, function.__name__, function.__defaults__, cells or None
        )
        result.__kwdefaults__ = function.__kwdefaults__
        self.known[id(function)] = function, result
        for name in _names_of(function.__code__):
            if name in function.__globals__:
                scope[name] = self.translate(function.__globals__[name], name)
            elif name in BUILTINS:
                scope[name] = BUILTINS[name]
        for cell, before in zip(cells, function.__closure__ or (), strict=True):
            try:
                cell.cell_contents = self.translate(before.cell_contents, "")
            except ValueError:  # not assigned yet
                continue
        return result

    def bodies(self) -> list[types.FunctionType]:
        """The functions whose bodies may have been recorded."""
        found = [value for value, _ in self.known.values()]
        bodies = [python_body(value) or value for value in found]
        return [body for body in bodies if isinstance(body, types.FunctionType)]

    def translate(self, value, name):
        """What a value from outside becomes in recorded code."""
        known = self.known.get(id(value))
        if known is None:
            known = self.known[id(value)] = value, self._translated(value, name)
        return known[1]

    def _translated(self, value: Any, name: str) -> Any:
        if isinstance(value, types.ModuleType):
            return self._module(value)
        home = getattr(value, "__module__", None) or getattr(type(value), "__module__", "") or ""
        if isinstance(value, tuple | list) and type(value) in (tuple, list):
            items = [self.translate(item, name) for item in value]
            changed = any(a is not b for a, b in zip(items, value, strict=True))
            return type(value)(items) if changed else value
        if isinstance(value, np.ndarray):
            return made(value)
        body = python_body(value)
        if body is not None:
            return Call(value) if hasattr(value, "nin") else self.function(body)
        if type(value).__module__.startswith("numba.experimental.jitclass"):
            called = value.__name__ if isinstance(value, type) else type(value).__name__
            return OnlyNumba(f"the jitclass {called}")
        if home == "math":
            return MATH.get(getattr(value, "__name__", ""), value)
        if value is float or value is complex:
            return cast_to(value)
        if isinstance(value, type) and issubclass(value, np.number | np.bool_):
            return cast_to(value)
        if home.partition(".")[0] == "numba":
            return self._of_numba(value, name)
        if isinstance(value, np.ufunc) or home.partition(".")[0] == "numpy":
            return self._of_numpy(value)
        if isinstance(value, types.FunctionType) and home.partition(".")[0] not in _TRUSTED:
            return (
                OnlyNumba(f"{value.__name__} (through @overload)")
                if _is_overloaded(value)
                else (self.function(value))
            )
        return value

    def _module(self, module):
        root = module.__name__.partition(".")[0]
        self.draws = self.draws or module.__name__ in ("random", "numpy.random")
        if module is math:
            return Namespace(self, module, MATH)
        if root == "numpy":
            return Namespace(self, module, NUMPY if module is np else {})
        if root in _TRUSTED or root in sys_modules():
            return module
        return Namespace(self, module, {})

    def _of_numpy(self, value):
        own = NUMPY.get(getattr(value, "__name__", ""))
        if own is not None and getattr(np, value.__name__, None) is value:
            return own
        is_error = isinstance(value, type) and issubclass(value, BaseException)
        return Call(value) if callable(value) and not is_error else value

    def _of_numba(self, value, name):
        from numba.core import types as numba_types
        from numba.np.numpy_support import as_dtype

        if isinstance(value, numba_types.Number | numba_types.Boolean):
            return cast_to(as_dtype(value).type)
        called = getattr(value, "__name__", name)
        for known in (called, name):
            if known in NUMBA:
                return value if NUMBA[known] is None else NUMBA[known]
        if hasattr(value, "__array_ufunc__") or isinstance(value, np.ufunc):
            return Call(value)
        return OnlyNumba(f"numba's {called or type(value).__name__}")


_TRUSTED = frozenset(("scipy", "tapejit", "operator", "functools", "itertools", "collections"))


def sys_modules():
    """Names of modules of the standard library, which are left as they are."""
    import sys

    return sys.stdlib_module_names


def python_body(value) -> types.FunctionType | None:
    """The Python function that Numba compiles for @njit, @cfunc, @vectorize; None for others."""
    if not type(value).__module__.startswith("numba."):
        return None
    value = getattr(value, "_dispatcher", value)  # of @vectorize
    body = getattr(value, "py_func", None) or getattr(value, "_pyfunc", None)
    return body if isinstance(body, types.FunctionType) else None


def _is_overloaded(function) -> bool:
    """Whether Numba runs something else in this function's place."""
    from numba.core.typing.templates import builtin_registry

    for known, kind in builtin_registry.globals:
        if known is function:
            templates = getattr(kind, "templates", ())
            impls = [getattr(t, "_overload_func", None) for t in templates]
            return any(i is not None and not i.__module__.startswith("numba.") for i in impls)
    return False


def _names_of(code: types.CodeType) -> set[str]:
    """The names that code, and functions made in it, look up."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_of(constant)
    return names
