"""The register of operations: each is declared once, here is what a declaration holds.

An `Op` states its value, its shape and dtype rule, its derivative, its names in PyTorch and
NumPy, and how to probe it in tests.  A family fills in what its members share; `tapejit.ops` holds
the declarations.  Methods, functions, derivative sweeps, kernels, documentation rows and tests are
made from these records, and nowhere else is there a list of operations.

Conventions of the derivative rules (they run on `Ref`s while a tape is built, never on numbers):
    partials(*inputs, y, **attrs) -> one slope per input        elementwise; None means "no slope",
                                                  0.0 a slope that is 0 everywhere (floor),
                                                  `Refused` one that cannot be stated
    vjp(gy, *inputs, y, **attrs)  -> one cotangent per input    None means "none"
    jvp(tangents, *inputs, y, **attrs) -> tangent of y          a tangent may be None (zero)
A cotangent rule need not sum over broadcast axes nor cast: `autodiff` brings every cotangent to
its input's shape and dtype.  An op with neither rule but `decompose` is differentiated through
its decomposition.

Complex numbers (`Op.complex`).  A slope s means: a change dx changes y by s * dx, by the real part
of that where y is real.  So `partials` are the same for real and complex numbers; `autodiff`
conjugates them for cotangents, which are PyTorch's: the direction of steepest ascent.
A `vjp` gives the adjoint: `conjugate` (ops/complexes.py) goes where a transpose is not enough.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tapejit import expressions
from tapejit.dtypes import DType
from tapejit.errors import DeclarationError, DtypeError
from tapejit.locks import Lock
from tapejit.shapes import Aval, common_device, drop_unheld

# ---------------------------------------------------------------- data


class Alias(NamedTuple):
    """Names of an operation elsewhere; each generates an entry point and a parity test."""

    torch: str | None = None
    numpy: str | None = None
    operator: str | None = None
    """Python's special method without underscores: "add" gives __add__ and __radd__."""


class Refused(NamedTuple):
    """A slope that exists, but has no rule: asking for it raises NotDifferentiable."""

    reason: str


class Probe(NamedTuple):
    """Where tests should look at an operation."""

    domain: tuple = (-3.0, 3.0)
    """Interval for random inputs, or one interval per input."""
    points: tuple = ()
    """Special values of the input(s), where an edge is."""
    shapes: tuple = (((3, 4),),)
    """Tuples of input shapes."""
    attrs: tuple = ({},)
    dtypes: tuple[str, ...] = ()
    """Names of the only dtypes it takes, where its rule does not say so."""
    tolerance: float = 1e-6
    """Relative, of the derivative against central differences in float64."""
    slopes: tuple[int, ...] | None = None
    """The operands to differentiate by, where not every derivative has a rule (`Refused`)."""


class Operand(NamedTuple):
    """How an operand of a loop lies in memory, seen from its first element."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """In elements."""
    dtype: DType


class Work(NamedTuple):
    """Which function runs, what it is given besides its operands, and how much it has to do."""

    run: Callable[..., None] | str
    """A loop in plain Python, or the name of a native one of runtime/blas.py."""
    meta: tuple[int, ...]
    """Sizes and strides, as the loop wants them."""
    units: int
    """Parts that are independent of each other: the pool shares them between threads."""
    ns: float
    """About how long all of them take on one thread."""
    scratch: tuple[tuple[str, int], ...] = ()
    """Memory of this run's own: (dtype, elements); args has it behind the result."""
    finish: Callable[..., None] | None = None
    """finish(args, meta) runs behind all units."""


class Loop(NamedTuple):
    """An operation's compiled loop, for what is no chain of elementwise functions and reductions.

    It is a function `run(args, meta, begin, end)` in the subset of codegen/loop_functions.py, over
    the units [begin, end): args are flat arrays, the operands' first, then the result's, then
    scratch, then the status of a loop that has one.  tapejit/ops/loops says what it may assume and
    must keep.
    """

    work: Callable[..., Work | None]
    """(operands, result, **attrs) -> Work of Operands; None where `evaluate` does it, which may
    depend on shapes, dtypes and attributes, not on strides."""
    reads: Callable[[Operand], bool] | None = None
    """Whether it takes an operand that lies so; None: row-major ones only.  Others are copied."""
    alone: Callable[..., Work | None] | None = None
    """As `work`, where no library can be called: in code that stands alone.  None: as there."""
    device: Callable[..., Work | None] | None = None
    """As `alone`, on a GPU, for kernels of codegen/cuda that no function of the CPU's is like:
    `run` is "".  None: as there."""
    complex: bool = False
    """Whether its kernels on a GPU take complex numbers too: a CPU's never do."""
    has_status: bool = False
    """Whether it may refuse: it writes something other than 0 to the status, an int64, and
    `evaluate` does the work again, or raises what is to be raised."""


@dataclass(eq=False)
class Op:
    """One operation.  Make it with a function of families.py, never directly."""

    name: str
    family: str
    summary: str
    infer: Callable[..., Aval]
    """(avals, **attrs) -> the result's Aval; raises ShapeError, DtypeError or AxisError."""
    evaluate: Callable[..., Any]
    """(*arrays, **attrs) -> the value, with NumPy: the reference."""
    attributes: tuple[str, ...] = ()
    partials: Callable | None = None
    vjp: Callable | None = None
    jvp: Callable | None = None
    decompose: Callable | None = None
    """(*inputs, **attrs) -> the same value through simpler operations."""
    linear: bool = False
    expression: expressions.Expression | None = None
    loop: Loop | None = None
    """What runs in place of `evaluate` where it pays, on kernels' dtypes."""
    reduce: str | None = None
    """For reductions that loop kernels know: "sum", "prod", "max", "min"."""
    rule: str = "promote"
    """How operands are brought to one dtype: "promote", "float", "compare", "keep"."""
    alias: Alias = Alias()
    complex: bool = False
    """Whether it takes complex operands; inference refuses them otherwise."""
    bools: str = "taken"
    """Or "refused" where any operand is one, or "refused alone" where all are."""
    grad_name: str = ""
    """The class name PyTorch prints for the backward node."""
    number_grad_names: tuple[str, str] = ("", "")
    """The same where the left, or the right, of two operands is a Python number."""
    probe: Probe = Probe()
    note: str = ""
    source: str = ""
    example: str = ""
    """A doctest, without the import of tapejit as tj: printed in docstrings, run by the tests."""
    version: int = 1
    code: int = field(init=False)
    kinds: dict = field(init=False, default_factory=dict)
    """(operand avals, attrs) -> Kind: what inference found; the fast path of every recorder."""

    def __post_init__(self):
        if self.name in OPS:
            raise DeclarationError(f"{self.name} is declared twice")
        self.code = len(OPS)
        OPS[self.name] = self

    def __repr__(self):
        return f"<op {self.name}>"

    def __call__(self, *operands, **attrs):
        """Emit one row on the tape that the first `Ref` among `operands` belongs to."""
        for operand in operands:
            emit = getattr(operand, "emit", None)
            if emit is not None:
                return emit(self, operands, tuple(attrs[name] for name in self.attributes))
        raise TypeError(f"{self.name}: derivative rules call operations on Refs, got {operands}")


OPS: dict[str, Op] = {}


class Kind:
    """What a row is, apart from its operands: operation, attributes, abstract value; interned."""

    __slots__ = ("attrs", "aval", "is_large", "number", "op")

    def __init__(self, op, attrs, aval, number):
        self.op: Op = op
        self.attrs: tuple = attrs
        self.aval: Aval = aval
        self.number: int = number
        self.is_large: bool = aval.is_large

    def __repr__(self):
        return f"{self.op.name}{list(self.attrs) if self.attrs else ''}: {self.aval}"

    def attributes(self) -> dict[str, Any]:
        """The attributes by name."""
        return dict(zip(self.op.attributes, self.attrs, strict=True))


KINDS: dict[int, Kind] = {}
"""By number.  A number is never used again, so structure that was hashed once stays what it is."""
_KIND_NUMBERS: dict[tuple, Kind] = {}
_LOCK = Lock()  # reentrant: a finalizer may come back here
_NUMBERS = itertools.count()


def kind(op: Op, attrs: tuple, aval: Aval) -> Kind:
    """The one Kind of this operation, attributes and abstract value."""
    # repr in the key tells 1 from 1.0 and True, and 0.0 from -0.0; nan equals itself
    key = (op.code, aval.number, repr(attrs)) if attrs else (op.code, aval.number)
    known = _KIND_NUMBERS.get(key)
    if known is None:
        with _LOCK:
            known = _KIND_NUMBERS.get(key)
            if known is None:
                if len(KINDS) >= _sweep_at:
                    sweep()
                known = Kind(op, attrs, aval, next(_NUMBERS))
                KINDS[known.number] = known
                _KIND_NUMBERS[key] = known
    return known


def infer_kind(op: Op, avals: tuple[Aval, ...], attrs: tuple) -> Kind:
    """The Kind of a row of `op` on operands of these avals; remembered in `op.kinds`."""
    _check_dtypes(op, avals)
    known = kind(op, attrs, infer_aval(op, avals, attrs))
    op.kinds[avals + attrs] = known
    return known


def infer_aval(op: Op, avals: tuple[Aval, ...], attrs: tuple) -> Aval:
    """What inference says of a row of `op`: where its operands are, if it does not say where."""
    result = op.infer(avals, **dict(zip(op.attributes, attrs, strict=True)))
    return result if "device" in op.attributes else result.on(common_device(avals))


WITHOUT_HALF = ("linalg",)
"""Families of what LAPACK does, which knows no float16."""


def _check_dtypes(op, avals):
    """Raise DtypeError, PyTorch's NotImplementedError, where an operand has a dtype not taken."""
    for dtype in {a.dtype: None for a in avals}:
        if dtype.is_complex and not op.complex:
            name = "ComplexDouble" if dtype.itemsize == 16 else "ComplexFloat"
            instead = ".real, .imag, .abs() or .angle()"
        elif dtype.name == "float16" and op.family in WITHOUT_HALF:
            name, instead = "Half", ".float()"
        else:
            continue
        raise DtypeError(f"\"{op.name}\" not implemented for '{name}'\n  try  {instead}")


# ---------------------------------------------------------------- letting Kinds go
#
# A loop over slices x[i:i+32], or over batches of any length, makes new Kinds for ever.  When there
# are many, those that nobody holds are dropped: neither by reference nor, which only a look at all
# tapes can tell, by number.

SWEEP_AT = 1 << 14
"""Kinds (half a kilobyte each) from which it pays to look which are in use."""

LOOKUPS: list[dict] = []
"""Tables that lead to Kinds by other keys; emptied by a sweep, refilled by use."""

HOLDERS: list[Callable[[], Iterable[int]]] = []
"""Each gives the numbers of Kinds that somebody holds by number."""

_sweep_at = SWEEP_AT
_HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


def lookup() -> dict:
    """A new table for LOOKUPS."""
    LOOKUPS.append({})
    return LOOKUPS[-1]


def sweep() -> None:
    """Drop the Kinds that nobody holds.

    The order matters where threads run meanwhile: first nobody can find an idle Kind any more,
    then it is asked whether somebody had just found it, then whether it is on a tape by now.
    """
    global _sweep_at
    if _HAS_GIL:  # else counts of other threads' references may be late
        with _LOCK:
            for table in (*LOOKUPS, *(op.kinds for op in OPS.values())):
                table.clear()
            keys = {known.number: key for key, known in list(_KIND_NUMBERS.items())}
            idle = _idle(list(KINDS.values()), _HELD_TWICE)
            for number in [known.number for known in idle]:  # no variable that holds the last one
                _KIND_NUMBERS.pop(keys.get(number, ()), None)
            idle = _idle(idle, _HELD_ONCE)
            on_tapes = set().union(*(numbers() for numbers in HOLDERS))
            dropped = {known.number for known in idle if known.number not in on_tapes}
            del idle
            for number in dropped:
                del KINDS[number]
            for number, key in keys.items():
                if number in KINDS:
                    _KIND_NUMBERS.setdefault(key, KINDS[number])
        drop_unheld()
    _sweep_at = max(SWEEP_AT, 2 * len(KINDS))


def _idle(kinds: list[Kind], count: int) -> list[Kind]:
    """Those whose only references are `count`: the tables', and those of this question."""
    return [known for known in kinds if sys.getrefcount(known) <= count]


def _count(n_tables: int) -> int:
    """What getrefcount says, in `_idle`, of what that many tables and one list hold."""
    things: list = [object()]
    tables = [{0: things[0]} for _ in range(n_tables)]
    return next(count for count in range(10 + len(tables)) if _idle(things, count))


_HELD_TWICE, _HELD_ONCE = _count(2), _count(1)
