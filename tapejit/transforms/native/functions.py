"""Native functions: a transformed function for code that is not Python.

`g.numba(*example)` records `g` on the example, as a call would, and makes of the paths that are
known for such arguments one self-contained function (`runtime.freestanding`):

    arguments    the example's nesting, each leaf a Number, an Array, or a value that must be equal
    answer       the nesting of what `g` returns, each leaf a Result, or a value that is always so

What the function read from outside, numbers in closures as arrays, is frozen into the code at this
moment: code in another program cannot look at this one.  So what changes belongs among the
arguments.  Paths that are recorded later are not in it: call `g` on what matters first.

Start at `native`.  Who calls it: Python and C in this file, Numba in `interop.numba_seam`.
"""

from __future__ import annotations

import functools
import hashlib
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tapejit.errors import TraceError
from tapejit.runtime.freestanding import Freestanding, PathCode, freestanding
from tapejit.runtime.native import Host
from tapejit.tape import Program
from tapejit.tensor.core import Tensor
from tapejit.transforms import trees
from tapejit.transforms.dispatch import Transform, no_seeds, rebuild
from tapejit.transforms.entering import Slot
from tapejit.transforms.native.records import (
    Array,
    Constant,
    NativeCode,
    Number,
    Result,
    Static,
    classes_of,
)
from tapejit.transforms.nearest import describe_read
from tapejit.transforms.paths import Path, Whole, all_outputs
from tapejit.transforms.trace import Trace

# ---------------------------------------------------------------- data


class NativeFunction(NativeCode):
    """A function as self-contained machine code.  Made by the `numba` method of what `jit`, `grad`,
    `value_and_grad`, `jacobian` and `hessian` return.
    """

    __tapejit_cache__ = True
    alive: ClassVar[weakref.WeakSet[NativeFunction]] = weakref.WeakSet()
    """All that there are."""

    def __init__(self, name: str, code: Freestanding, arguments: tuple, keywords: dict, answer):
        super().__init__(name, code, arguments, keywords, answer)
        self.alive.add(self)

    @functools.cached_property
    def identity(self) -> str:
        """A hash of all that a caller compiles in: code, nesting, words of failures."""
        nested = (self.arguments, self.keywords, self.answer)
        parts = self.code.symbol, self.code.failures, nested, [classes_of(x) for x in nested]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]

    def __reduce__(self):
        parts = self.__name__, self.code, self.arguments, self.keywords, self.answer
        return NativeFunction, parts

    def __call__(self, *args, **kwargs):
        """The answer for arguments like the example's; arrays are fresh.

        Takes out=, an array or a tuple of them, unless the example has a keyword of that name

        Errors  DtypeError, ShapeError, ArgumentError for arguments unlike the example's;
                GuardError where none of the recorded paths fits
        """
        return self._caller(args, kwargs)

    @functools.cached_property
    def _caller(self):
        from tapejit.transforms.native.c_side import Caller

        return Caller(self)

    @property
    def address(self) -> int:
        """Where the C function begins (`runtime.freestanding` tells its parameters).

        It is valid until the process ends: code that was asked for its address is never freed.
        """
        from tapejit.transforms.native.c_side import address_of

        return address_of(self.code)

    @functools.cached_property
    def ctypes(self) -> Any:
        """The C function for ctypes: inputs, outputs, work space and its bytes; gives the status.

        Parameters take NumPy arrays, whose dtype, shape and layout are checked, or pointers.  No
        GIL is held meanwhile.  The code lives as long as this object.

        >>> import numpy as np, tapejit as tj
        >>> native = tj.jit(lambda x: np.sum(x * x)).numba(np.ones(3))
        >>> value = np.zeros(())
        >>> native.ctypes(np.array([1.0, 2.0, 3.0]), value, None, 0), float(value)
        (0, 14.0)
        """
        from tapejit.transforms.native.c_side import ctypes_function

        return ctypes_function(self)

    def low_level_callable(
        self,
        output: int = 0,
        index: int | tuple[int, ...] = 0,
        *,
        user_data: np.ndarray | None = None,
        signature: str | None = None,
    ) -> Any:
        """One number of the answer as a scipy.LowLevelCallable, for quad, nquad and their kin.

        output     which output: 0 is the value of value_and_grad, 1 the first array of its gradient
        index      which element of it, where it is an array
        user_data  an array in place of the last argument; it may be changed between calls
        signature  one of "double (double)", "double (int, double *)", and these with a last
                   "void *"; by default the first if the arguments are one number, else the second,
                   with all numbers of all arguments in order.  For scipy.ndimage.generic_filter
                   "int (double *, intptr_t, double *, void *)"
        Returns    what gives NaN where the function refuses, or gets another count of numbers; a
                   filter fails then
        Errors     DtypeError for arguments or answers that are no float64

        >>> import numpy as np, tapejit as tj
        >>> from scipy.integrate import quad
        >>> slope = tj.value_and_grad(lambda x: np.sin(x) * x).numba(1.0).low_level_callable(1)
        >>> round(quad(slope, 0.0, 1.0)[0], 6), round(np.sin(1.0), 6)
        (0.841471, np.float64(0.841471))
        """
        from tapejit.transforms.native.low_level import low_level_callable

        return low_level_callable(self, output, index, user_data, signature)


# ---------------------------------------------------------------- asking for one


Prepare = Callable[[tuple, dict], tuple[Transform, Callable[[Trace, list, list], Any]]]
"""What a wrapper would do with a call: which transform, and what the answer is made of."""


class ToNative:
    """The `numba` of a wrapper: the function for arguments like these, for Numba and C."""

    __tapejit_cache__ = True  # what the function reads is found by looking at it; not at this

    def __init__(self, wrapper: Callable, prepare: Prepare | None):
        self.wrapper, self.prepare = wrapper, prepare

    def __call__(self, *args, **kwargs):
        """A NativeFunction for arguments like these."""
        return native(self.wrapper, args, kwargs)


def preparation_of(function: Callable) -> Prepare | None:
    """The `prepare` of a wrapper; None of any other function, one that wraps it included."""
    made = getattr(function, "numba", None)
    if isinstance(made, ToNative) and made.wrapper is function:
        return made.prepare
    return None


# ---------------------------------------------------------------- making one


def native(
    function: Callable, args: tuple, kwargs: dict, target: Host | None = None
) -> NativeFunction:
    """The native form of a function for arguments like these.

    target  the machine it is for, if not this one

    Errors  what the function raises; TraceError where it cannot be frozen; KernelError naming an
            operation that only NumPy or SciPy can do
    """
    name = getattr(function, "__name__", type(function).__name__)
    leaves: list = []
    structure = trees.flatten((args, kwargs), leaves)
    arrays = [_plain(leaf) for leaf in leaves]
    is_plain = not any(isinstance(leaf, Tensor) for leaf in leaves)
    args, kwargs = trees.unflatten(structure, arrays if is_plain else leaves)
    prepare = preparation_of(function)
    if prepare is None:
        transform, answer = Transform(function, all_outputs, n_levels=0), rebuild
    else:
        transform, answer = prepare(args, kwargs)
    transform.call(args, kwargs, no_seeds)
    signature, _, _ = transform.signature(args, kwargs)
    known = transform.paths.by_signature.get(signature) or []
    usable = [path for path in known if path.reads.hold() and _has_any_layout(path, arrays)]
    if not usable:
        raise TraceError(
            f"native: {name} is recorded anew at every call, so there is nothing to be frozen\n"
            f"  got  {_reason(transform, signature)}\n"
            "  try  passing what changes as an argument"
        )
    answers = [_Answer(path, answer, arrays) for path in usable]
    template, outputs = _common(answers, name)
    arguments = [_argument(array) for array in arrays]
    code = freestanding(
        [one.code(outputs) for one in answers],
        [(a.dtype, a.shape if isinstance(a, Array) else ()) for a in arguments],
        [(r.dtype, r.shape) for r in outputs],
    )
    given, named = _with_statics(structure, iter(arguments))
    return NativeFunction(name, code, given, named, template)


def _reason(transform, signature):
    eager = transform.paths.eager.get(signature)
    return "what it read has changed meanwhile" if eager is None else eager.why


def _plain(leaf):
    """An example as NumPy has it, row-major and in native byte order."""
    if isinstance(leaf, Tensor):
        leaf = leaf._value
    if isinstance(leaf, np.ndarray):
        return np.ascontiguousarray(leaf, leaf.dtype.newbyteorder("=")).reshape(leaf.shape)
    return leaf


def _has_any_layout(path: Path, leaves) -> bool:
    """Whether the path is right for row-major arrays."""
    return path.layouts is None or path.layouts == [getattr(x, "strides", ()) for x in leaves]


def _argument(leaf):
    if isinstance(leaf, np.ndarray):
        return Array(leaf.dtype, leaf.shape)
    return Number(np.dtype(getattr(leaf, "dtype", float)))


def _with_statics(structure, leaves) -> Any:
    """The nesting of the arguments, with descriptions for leaves."""
    if structure == trees.LEAF:
        return next(leaves)
    if isinstance(structure, trees.Static):
        return Static(trees.value_of(structure))
    values = [_with_statics(child, leaves) for child in structure.children]
    container, names, *_ = structure
    if issubclass(container, dict):
        return dict(zip(names, values, strict=True))
    if container in (tuple, list):
        return container(values)
    return container(**dict(zip(names, values, strict=True))) if names else container(values)


def _frozen(path: Path) -> Whole:
    """All of a path, if it answers the same for the same arguments."""
    if path.draws:
        raise TraceError(
            "native: the function draws random numbers\n  try  passing them as arguments"
        )
    return path.whole()


# ---------------------------------------------------------------- answers


class _Answer:
    """What one path answers: a nesting, and per leaf a row of its program or a value."""

    def __init__(self, path: Path, answer: Callable, leaves: list):
        self.path = path
        self.derived = _frozen(path)
        tape = self.derived.tape
        slots: list = []
        for i, row in enumerate(self.derived.results):
            aval = None if row < 0 else tape.kind(row).aval
            slots.append(None if aval is None else Slot(i, aval.dtype.dtype, aval.shape))
        self.leaves: list = []
        self.structure = self.flatten(answer(path.trace, slots, leaves))

    def flatten(self, tree):
        """The nesting of an answer; its leaves are appended."""
        if isinstance(tree, Slot | np.ndarray | np.generic | float | int | bool | complex):
            self.leaves.append(tree)
            return trees.LEAF
        if type(tree) in (tuple, list):
            return type(tree), tuple([self.flatten(x) for x in tree])
        if type(tree) is dict:
            return dict, tuple(tree), tuple([self.flatten(x) for x in tree.values()])
        if isinstance(tree, tuple) and hasattr(tree, "_fields"):
            return type(tree), tuple([self.flatten(x) for x in tree])
        if tree is None or isinstance(tree, str | bytes):
            return tree
        raise TraceError(f"native: the function returns a {type(tree).__name__}")

    def code(self, outputs: list[Result]) -> PathCode:
        """The path for these outputs."""
        derived, path = self.derived, self.path
        rows, places = [], []
        for leaf, result in zip(self.computed, outputs, strict=True):
            if isinstance(leaf, Slot):
                places.append(len(rows))
                rows.append(derived.results[leaf.number])
            else:
                places.append(np.broadcast_to(np.asarray(leaf, result.dtype), result.shape))
        inputs, captures = derived.inputs, derived.captures
        guards, expected = None, []
        if path.guards:
            guards = Program(derived.tape, inputs, derived.guards)
            kinds = [derived.tape.kind(row).aval.dtype.dtype for row in derived.guards]
            expected = [np.asarray(v, k) for v, k in zip(path.guards, kinds, strict=True)]
        reasons = [
            f"{describe_read(site)} does not read {value}, which is what it read when this was "
            "recorded"
            for site, value in zip(path.sites, path.guards, strict=True)
        ]
        program = Program(derived.tape, inputs, rows)
        return PathCode(program, tuple(places), captures, guards, tuple(expected), tuple(reasons))

    computed: list


def _common(answers: list[_Answer], name: str):
    """(template, results): one answer for all paths, and what of it is computed."""
    first = answers[0]
    for other in answers[1:]:
        if other.structure != first.structure:
            raise TraceError(
                f"native: {name} returns differently nested values on its {len(answers)} paths\n"
                "  try  returning the same form from every branch"
            )
    for one in answers:
        one.computed = []
    parts, results = [], []
    for leaves in zip(*(one.leaves for one in answers), strict=True):
        part = _common_leaf(leaves, len(results), name)
        parts.append(part)
        if isinstance(part, Result):
            results.append(part)
            for one, leaf in zip(answers, leaves, strict=True):
                one.computed.append(leaf)
    return _template(first.structure, iter(parts)), results


def _common_leaf(leaves, number, name):
    """One leaf on all paths: a result, unless it is always the same number."""
    kinds = {(np.dtype(_dtype(x)), np.shape(x), _is_number(x)) for x in leaves}
    computed = [x for x in leaves if isinstance(x, Slot)]
    is_same = len(kinds) == 1 and all(repr(x) == repr(leaves[0]) for x in leaves)
    if not computed and _is_number(leaves[0]) and is_same:
        return Constant(leaves[0])
    shapes = {shape for _, shape, _ in kinds}
    if len(shapes) > 1:
        raise TraceError(
            f"native: {name} returns arrays of shapes {sorted(map(str, shapes))} on its paths\n"
            "  try  returning one shape from every branch"
        )
    dtypes = {dtype for dtype, _, _ in kinds}
    dtype = np.result_type(*dtypes)
    if computed and {np.dtype(x.dtype) for x in computed} != {dtype}:
        raise TraceError(f"native: {name} returns {sorted(map(str, dtypes))} on its paths")
    return Result(number, dtype, shapes.pop(), any(is_number for *_, is_number in kinds))


def _dtype(x):
    return x.dtype if hasattr(x, "dtype") else type(x)


def _is_number(x) -> bool:
    """Whether Python sees a number: everything of shape () but an array."""
    return not isinstance(x, np.ndarray) and not np.ndim(x)


def _template(structure, parts):
    if structure == trees.LEAF:
        return next(parts)
    if structure is None or isinstance(structure, str | bytes):
        return Constant(structure)
    container, *names, children = structure
    values = [_template(child, parts) for child in children]
    if container is dict:
        return dict(zip(names[0], values, strict=True))
    return container(*values) if hasattr(container, "_fields") else container(values)
