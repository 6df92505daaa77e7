"""Probing one operation: inputs as its record asks, and the checks of its rules.

A `Case` is an operation, a dtype, input shapes and attributes.  `check_…` functions raise
AssertionError where the record is wrong; `test_conformance` runs them over the whole registry and
`test_the_tests` shows that they notice faults.  Everything here works on tapes and the row-by-row
reference; derivatives are compared with central differences in float64.

In `Probe.shapes` an input written (kind, shape) is made by `MAKERS[kind]`.  "index" is an integer
array, whose numbers are below 4 and do not repeat along the last axis, which suits every probe in
the registry; "spd", "regular" and "lower" are matrices, and `DIRECTIONS` says in which directions
they may be moved; "lu" is what `lu` gives for the first input, and moves with it.
"""

from __future__ import annotations

import functools
import zlib
from typing import Any, NamedTuple

import numpy as np

import tapejit.ops  # noqa: F401 - fills the registry
from tapejit import dtypes
from tapejit.autodiff import Sweep, forward, reverse
from tapejit.build import Builder
from tapejit.dtypes import DType
from tapejit.registry import OPS, WITHOUT_HALF, Op, infer_kind
from tapejit.runtime import reference
from tapejit.shapes import Aval, aval
from tapejit.tape import Program, Tape

STEP = 1e-5
SECOND_ORDER_LOOSENING = 30.0  # differences of slopes that are themselves rounded
N_INDICES = 4
FAMILIES_WITHOUT_VALUE = ("input", "literal", "call", "host")
FLOATS = (dtypes.float64, dtypes.float32)
DOUBLES = (dtypes.float64, dtypes.complex128)
INEXACT = (*FLOATS, dtypes.complex128)

# ---------------------------------------------------------------- cases


class Case(NamedTuple):
    op: Op
    dtype: DType
    shapes: tuple
    attrs: tuple
    """Values in the order of `op.attributes`."""

    def __str__(self) -> str:
        shapes = "-".join("x".join(map(str, _shape(s))) or "0d" for s in self.shapes)
        attrs = "".join(f"-{name}={value}" for name, value in self.attributes().items())
        return f"{self.op.name}-{self.dtype.name}-{shapes}{attrs}".replace(" ", "")

    def attributes(self) -> dict[str, Any]:
        return dict(zip(self.op.attributes, self.attrs, strict=True))


def _shape(stated):
    return stated[1] if _kind(stated) else stated


def _kind(stated):
    """The name of the maker of an input, "" for numbers of any kind."""
    return stated[0] if stated and isinstance(stated[0], str) else ""


def probed() -> list[Op]:
    """Every operation that computes something, but for those of users' functions (no attributes
    to try: tests/test_own_elementwise.py)."""
    return [o for o in OPS.values() if o.family not in FAMILIES_WITHOUT_VALUE and o.probe.attrs]


def dtypes_of(op: Op) -> tuple[DType, ...]:
    """The dtypes that an operation is probed with."""
    if op.probe.dtypes:
        return tuple(dtypes.named(name) for name in op.probe.dtypes)
    complexes = (dtypes.complex128,) if op.complex else ()
    if op.rule in ("float", "need_float"):
        return (*FLOATS, *complexes)
    if op.rule == "logical":
        return (dtypes.bool_,)
    if op.family == "bitwise":
        return (dtypes.int64, dtypes.bool_)
    bools = () if op.bools != "taken" or op.family == "elementwise" else (dtypes.bool_,)
    return (*FLOATS, *complexes, dtypes.int64, *bools)


def cases(op: Op, kinds: tuple[DType, ...] | None = None) -> list[Case]:
    """Every dtype, shape and attribute of the operation's probe."""
    return [
        Case(op, dtype, shapes, attrs)
        for dtype in (dtypes_of(op) if kinds is None else kinds)
        for shapes in _filled(op)
        for attrs in _attributes(op, shapes)
        if dtype.is_inexact or not _is_root(attrs)
    ]


def narrow_cases(op: Op) -> list[Case]:
    """The probe's first shape and attributes in the dtypes that kernels do not take."""
    known = dtypes_of(op)
    has_half = dtypes.float32 in known and op.family not in WITHOUT_HALF
    wanted = [dtypes.float16] if has_half else []
    wanted += [dtypes.complex64] if dtypes.complex128 in known else []
    if dtypes.int64 in known:
        wanted += [dtypes.int32, dtypes.int16, dtypes.int8, dtypes.uint8]
    return [found[0] for dtype in wanted if (found := cases(op, (dtype,)))]


def _filled(op):
    """The probe's shapes, each with one entry per operand."""
    n = len(op.expression.parameters) if op.expression is not None else None
    return [s * n if n and len(s) == 1 else s for s in op.probe.shapes]


def _attributes(op, shapes):
    """The probe's attributes; reductions are probed with and without keepdim."""
    ndim = len(_shape(shapes[0]))
    seen = set()
    for stated in op.probe.attrs:
        known = dict(stated)
        if "axes" in known and op.family == "reduction":
            known["axes"] = tuple(a for a in known["axes"] if a < ndim)
        keeps = (False, True) if "keepdim" in op.attributes else (None,)
        for keepdim in keeps:
            if keepdim is not None:
                known["keepdim"] = keepdim
            attrs = tuple(known[name] for name in op.attributes)
            if attrs not in seen:
                seen.add(attrs)
                yield attrs


def _is_root(attrs):
    """Exponents that give no integers."""
    return any(isinstance(a, float) or (type(a) is int and a < 0) for a in attrs)


# ---------------------------------------------------------------- inputs


def inputs_of(case: Case) -> list[np.ndarray]:
    """Random inputs within the probe's domain, the same every time."""
    random = np.random.default_rng(zlib.crc32(str(case).encode()))
    domain = case.op.probe.domain
    domains = domain if isinstance(domain[0], tuple) else (domain,) * len(case.shapes)
    arrays = []
    for place, shape in enumerate(case.shapes):
        if _kind(shape) == "lu":
            arrays.append(OPS["lu"].evaluate(arrays[0]))
        elif _kind(shape):
            arrays.append(MAKERS[shape[0]](random, shape[1], case.dtype))
        elif case.op.rule == "where" and place == 0:
            arrays.append(random.integers(0, 2, shape).astype(bool))
        else:
            arrays.append(_numbers(random, shape, domains[place], case.dtype))
    return arrays


def _places(random, shape, dtype):
    rows = [random.permutation(N_INDICES)[: shape[-1]] for _ in range(int(np.prod(shape[:-1])))]
    return np.array(rows, np.int64).reshape(shape)


def _numbers(random, shape, domain, dtype):
    if dtype.is_complex:
        numbers = random.uniform(*domain, shape) + 1j * random.uniform(*domain, shape)
        return np.asarray(numbers, dtype.dtype)
    if dtype.is_floating_point:
        return random.uniform(*domain, shape).astype(dtype.dtype)
    if dtype is dtypes.bool_:
        return random.integers(0, 2, shape).astype(bool)
    return random.integers(1, 5, shape).astype(dtype.dtype)  # also divisors and exponents


def _regular(random, shape, dtype):
    """Square matrices far from singular."""
    return _numbers(random, shape, (-1.0, 1.0), dtype) + 2 * np.eye(shape[-1], dtype=dtype.dtype)


def _spd(random, shape, dtype):
    """Hermitian matrices with eigenvalues that are positive and apart."""
    x = _hermitian(_numbers(random, shape, (-0.2, 0.2), dtype))
    return x + np.diag(np.arange(1, shape[-1] + 1)).astype(dtype.dtype)


def _hermitian(x):
    return (x + np.conjugate(np.swapaxes(x, -1, -2))) / 2


MAKERS = {
    "index": _places,
    "false": lambda random, shape, dtype: np.zeros(shape, bool),
    "apart": lambda random, shape, dtype: (
        _regular(random, shape, dtype) + np.diag(10.0 * np.arange(shape[-1]))
    ),
    "pivots": lambda random, shape, dtype: np.full(shape, shape[-1]).astype(dtype.dtype),
    "regular": _regular,
    "spd": _spd,
    "lower": lambda random, shape, dtype: np.tril(_spd(random, shape, dtype)),
}
DIRECTIONS = {"spd": _hermitian, "lower": np.tril}


def directions_of(case: Case, arrays, places) -> list[np.ndarray]:
    """A random direction for each of these inputs, within what its kind may be."""
    return [
        DIRECTIONS.get(_kind(case.shapes[place]), np.asarray)(like(arrays[place], place))
        for place in places
    ]


def avals_of(arrays) -> tuple[Aval, ...]:
    return tuple(aval(a.shape, dtypes.from_numpy(a.dtype)) for a in arrays)


# ---------------------------------------------------------------- running


def evaluate(case: Case, arrays) -> Any:
    """The operation's reference value."""
    with np.errstate(all="ignore"):
        return case.op.evaluate(*arrays, **case.attributes())


class Recorded(NamedTuple):
    """One row of an operation on a tape."""

    tape: Tape
    inputs: tuple[int, ...]
    floats: tuple[int, ...]
    """The input rows that a derivative is asked of."""
    row: int

    def run(self, rows, arrays) -> list:
        """The values of `rows`."""
        return reference.run(Program(self.tape, self.inputs, rows), arrays)


def recorded(case: Case, arrays) -> Recorded:
    builder = Builder()
    refs = [builder.input(a) for a in avals_of(arrays)]
    result = builder.emit(case.op, refs, case.attrs)
    floats = tuple(refs[p].row for p in _asked(case) if refs[p].dtype.is_inexact)
    return Recorded(builder.tape, tuple(ref.row for ref in refs), floats, result.row)


def swept(tape: Tape, inputs, results, sweep_seeds, arrays, seeds) -> list:
    """The values of rows behind a sweep; -1 is zero, told as None."""
    rows = [r for r in results if r >= 0]
    program = Program(tape, (*inputs, *sweep_seeds), rows)
    values = iter(reference.run(program, [*arrays, *seeds]))
    return [next(values) if r >= 0 else None for r in results]


def like(array, salt: int) -> np.ndarray:
    """A random direction or cotangent in the shape and dtype of an array."""
    random = np.random.default_rng(salt + np.size(array))
    numbers = random.normal(size=np.shape(array))
    if array.dtype.kind == "c":
        numbers = numbers + 1j * random.normal(size=np.shape(array))
    return np.asarray(numbers, array.dtype)


HAVE_PHASES = ("eig",)
"""Vectors known up to a phase; those of the probe are real, and so must be their cotangents."""


def cotangent_of(case: Case, value) -> np.ndarray:
    """A random cotangent of a result."""
    gy = like(value, 99)
    return gy.real.astype(gy.dtype) if case.op.name in HAVE_PHASES else gy


def is_differentiable(case: Case) -> bool:
    """Whether the record promises a derivative of numbers by numbers."""
    if case.op.name == "detach" or not case.dtype.is_inexact:
        return False
    arrays = inputs_of(case)
    return infer_kind(case.op, avals_of(arrays), case.attrs).aval.dtype.is_inexact


def inner(x, y) -> float:
    """The real inner product, for which gradients of complex numbers are the adjoint."""
    return float(np.sum(np.real(np.conj(x) * y), dtype=np.float64))


def _asked(case):
    """The places of operands to differentiate by."""
    slopes = case.op.probe.slopes
    return range(len(case.shapes)) if slopes is None else slopes


def shifted(case: Case, arrays, directions, step: float) -> list:
    following, asked = iter(directions), _asked(case)
    moved = [
        a + step * next(following) if a.dtype.kind in "fc" and place in asked else a
        for place, a in enumerate(arrays)
    ]
    for place, stated in enumerate(case.shapes):
        if _kind(stated) == "lu":
            moved[place] = OPS["lu"].evaluate(moved[0])
    return moved


def close(got, want, tolerance: float) -> None:
    """Equal up to a share of the largest number in either."""
    scale = max(1.0, float(np.max(np.abs(want), initial=0.0)))
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


# ---------------------------------------------------------------- checks


def check_rule(case: Case) -> None:
    """`infer` tells the shape and dtype that the value has, and inputs are left alone."""
    arrays = inputs_of(case)
    before = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    told = infer_kind(case.op, avals_of(arrays), case.attrs).aval
    value = evaluate(case, arrays)
    assert (np.shape(value), value.dtype) == (told.shape, told.dtype.dtype), f"{case}: {told}"
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


def check_tangent(case: Case) -> None:
    """The tangent of the result is the central difference."""
    arrays = inputs_of(case)
    record = recorded(case, arrays)
    directions = directions_of(case, arrays, record.floats)
    sweep = forward(record.tape, record.floats, (record.row,))
    (tangent,) = _run_sweep(record, sweep, arrays, directions)
    higher = evaluate(case, shifted(case, arrays, directions, STEP))
    lower = evaluate(case, shifted(case, arrays, directions, -STEP))
    difference = (np.asarray(higher) - lower) / (2 * STEP)
    close(np.zeros_like(difference) if tangent is None else tangent, difference, _tolerance(case))


def check_cotangent(case: Case) -> None:
    """Gradients have their inputs' shape and dtype, and are the transpose of the tangent."""
    arrays = inputs_of(case)
    record = recorded(case, arrays)
    directions = directions_of(case, arrays, record.floats)
    gy = cotangent_of(case, evaluate(case, arrays))
    pull, push = _sweeps(record)
    gradients = _run_sweep(record, pull, arrays, [gy])
    pulled = 0.0
    for place, gradient, direction in zip(record.floats, gradients, directions, strict=True):
        if gradient is not None:
            like_input = (arrays[place].shape, arrays[place].dtype)
            assert (np.shape(gradient), gradient.dtype) == like_input, f"{case}: input {place}"
            pulled += inner(gradient, direction)
    (tangent,) = _run_sweep(record, push, arrays, directions)
    pushed = 0.0 if tangent is None else inner(gy, tangent)
    tolerance = 1e-12 if case.dtype in DOUBLES else 2e-2 if case.dtype is dtypes.float16 else 1e-4
    close(pulled, pushed, tolerance * max(1, np.size(gy)))


def check_second_order(case: Case) -> None:
    """The tangent of the gradient is the central difference of the gradient."""
    arrays = inputs_of(case)
    record = recorded(case, arrays)
    directions = directions_of(case, arrays, record.floats)
    gy = cotangent_of(case, evaluate(case, arrays))
    pull, _ = _sweeps(record)
    wanted = [r for r in pull.results if r >= 0]
    second = forward(pull.tape, record.floats, wanted)
    ends = (*record.inputs, *pull.seeds)
    got = swept(second.tape, ends, second.results, second.seeds, [*arrays, gy], directions)
    gradients = [
        swept(pull.tape, record.inputs, wanted, pull.seeds, shifted_arrays, [gy])
        for shifted_arrays in (
            shifted(case, arrays, directions, STEP),
            shifted(case, arrays, directions, -STEP),
        )
    ]
    for tangent, higher, lower in zip(got, *gradients, strict=True):
        difference = (np.asarray(higher) - lower) / (2 * STEP)
        tangent = np.zeros_like(difference) if tangent is None else tangent
        close(tangent, difference, SECOND_ORDER_LOOSENING * _tolerance(case))


@functools.lru_cache(maxsize=8)
def _sweeps(record: Recorded) -> tuple[Sweep, Sweep]:
    return (
        reverse(record.tape, (record.row,), record.floats),
        forward(record.tape, record.floats, (record.row,)),
    )


def _run_sweep(record, sweep, arrays, seeds):
    return swept(sweep.tape, record.inputs, sweep.results, sweep.seeds, arrays, seeds)


def _tolerance(case):
    return case.op.probe.tolerance
