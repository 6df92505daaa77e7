"""`Tensor`, and how an operation on tensors runs: compute with NumPy, append one row.

`apply` is the one way an operation is recorded: it brings operands to one dtype (recording casts),
infers the result, evaluates, and appends.  `tensor/elementwise.py` is the fast path of it for
elementwise methods on avals seen before.

A tensor's value is a NumPy array, or a NumPy scalar for 0-d results, which NumPy's own arithmetic
makes ten times faster; `storage` turns it into a 0-d array where memory must be shared.
"""

from __future__ import annotations

import contextvars
import warnings
from collections.abc import Sequence
from sys import _getframe
from typing import TYPE_CHECKING, Any

import numpy as np

from tapejit import dtypes
from tapejit.dtypes import BOOL, FLOAT, INTEGER, DType, of_number, promote, to_float
from tapejit.errors import DeviceError, DtypeError
from tapejit.registry import OPS, Kind, Op, infer_kind
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.cuda.exchange import is_on_gpu, shared
from tapejit.runtime.devices import MEMORY, current, moved
from tapejit.runtime.eager import evaluate
from tapejit.shapes import CPU, Aval, aval
from tapejit.sites import describe_site, user_site
from tapejit.tensor.recording import ROW_LIMIT, Recording, seal_if_long, state

# ---------------------------------------------------------------- silence
#
# Edges (log of 0, overflow) are values here, not warnings.  `with np.errstate` costs 1 µs, setting
# the context variable behind it 0.1 µs; the variable is found without touching NumPy's internals.


def _silence():
    before = contextvars.copy_context()
    with np.errstate(all="ignore"):
        inside = contextvars.copy_context()
    for variable, value in inside.items():
        if variable not in before or before[variable] is not value:
            return variable, value
    raise AssertionError("np.errstate sets no context variable")


ERROR_STATE, SILENT = _silence()

# ---------------------------------------------------------------- data


class Tensor:
    """An array that remembers how it was made: PyTorch's tensor over NumPy memory.

    Make one with `tapejit.tensor`, `from_numpy`, `zeros`, ...; operations on tensors that require
    grad are recorded, and `backward()` fills `.grad` of the leaves.

    >>> import tapejit as tj
    >>> x = tj.tensor(3.0, requires_grad=True)
    >>> (x * x).backward()
    >>> x.grad
    tensor(6.)
    """

    __slots__ = (
        "__weakref__",
        "_aval",
        "_base_tensor",
        "_grad",
        "_hooks",
        "_made_untracked",
        "_retains",
        "_row",
        "_stamp",
        "_tape",
        "_tracked",
        "_value",
        "_view",
        "_views",
    )

    # NumPy's operators give way to ours, also where the array is on the left.
    __array_priority__ = 1000

    if TYPE_CHECKING:  # methods are published by other modules (front.export)
        _value: Any
        _tape: Any  # Recording | None, or CONSTANT
        requires_grad: Any
        requires_grad_: Any
        grad: Any
        data: Any
        T: Any
        mT: Any
        where: Any
        new_tensor: Any
        clip_: Any
        __array__: Any
        __array_ufunc__: Any
        __array_function__: Any
        __bool__: Any
        __float__: Any
        __int__: Any
        __complex__: Any
        __index__: Any
        __round__: Any
        __getitem__: Any
        __setitem__: Any
        __invert__: Any
        __pos__: Any
        __rpow__: Any
        __ipow__: Any
        __rmatmul__: Any
        __ge__: Any
        __add__: Any
        __sub__: Any
        __mul__: Any
        __radd__: Any

        def __getattr__(self, name: str) -> Any: ...

    _aval: Aval
    _row: int
    _tracked: bool
    """Whether operations on it are recorded: it requires grad, or belongs to a trace."""


def wrap(value, dtype: DType | None = None, *, tracked: bool = False) -> Tensor:
    """A leaf tensor around an array or NumPy scalar, sharing its memory."""
    known = aval(np.shape(value), dtype or dtypes.from_numpy(value.dtype), value.device)
    return wrap_known(value, known, tracked)


def wrap_known(value, known: Aval, tracked: bool = False) -> Tensor:
    """`wrap` where the dtype and shape are known to be these: half the time."""
    result = Tensor()
    result._value = value
    result._aval = known
    result._stamp = result._tape = None
    result._row = -1
    result._tracked = tracked
    return result


def new_leaf(value, dtype: DType | None = None) -> Tensor:
    """A tensor where a history begins; a trace that it is made in has it for its own."""
    result = wrap(value, dtype, tracked=True)
    state.parked.begin(result)
    return result


def storage(tensor: Tensor) -> Any:
    """The tensor's value as an array whose memory can be shared and written."""
    value = tensor._value
    if not isinstance(value, MEMORY):
        value = np.array(value)
        if tensor._tape is not None and tensor._row < len(tensor._tape.values):
            tensor._tape.values[tensor._row] = value
        tensor._value = value
    return value


def optional(tensor: Tensor, slot: str):
    """A slot that most tensors never fill (None then)."""
    try:
        return getattr(tensor, slot)
    except AttributeError:
        return None


# ---------------------------------------------------------------- dtypes of operands


def common_dtype(op: Op, operands: Sequence) -> DType:
    """The dtype that the operands of `op` are brought to (PyTorch's promotion)."""
    with_axes, zero_d, numbers = [], [], []
    for x in operands:
        if isinstance(x, Tensor):
            (with_axes if x._aval.ndim else zero_d).append(x._aval.dtype)
        else:
            numbers.append(of_number(x))
    dtype = promote(with_axes, zero_d, numbers)
    return to_float(dtype) if op.rule == "float" else dtype


def to_place(x: Tensor, device: str) -> Tensor:
    """The tensor on a device, by the name that avals have for it; itself where it is there."""
    return x if x._aval.device == device else apply(_TO_DEVICE, (x,), (device,))


def lift(x, dtype: DType) -> Tensor:
    """An operand as a tensor of `dtype`: numbers become constants, others are cast."""
    if not isinstance(x, Tensor):
        result = wrap(number_as(x, dtype), dtype)
        result._tape = CONSTANT
        return result
    if x._aval.dtype is not dtype:
        warn_of_discarding(x._aval.dtype, dtype)
        return apply(OPS["cast"], (x,), (dtype.name,))
    return x


def warn_of_discarding(before: DType, after: DType) -> None:
    """PyTorch's warning where a cast drops imaginary parts."""
    if before.is_complex and after.category in (INTEGER, FLOAT):
        warnings.warn(
            "Casting complex values to real discards the imaginary part", UserWarning, stacklevel=3
        )


def number_as(number, dtype: DType):
    """A Python number as a NumPy scalar: integers wrap around, floats overflow to infinity.

    Errors  DtypeError for an integer that not even int64 holds, a complex number in a real dtype
    """
    if not dtype.is_complex:
        number = real_number(number, _C_NAMES.get(dtype.name, legacy_name(dtype).lower()))
    token = ERROR_STATE.set(SILENT)
    try:
        return dtype.dtype.type(number)
    except OverflowError:
        try:
            return np.int64(number).astype(dtype.dtype)
        except OverflowError as error:
            raise DtypeError(
                f"value cannot be converted to type {dtype} without overflow: {number}"
            ) from error
    finally:
        ERROR_STATE.reset(token)


_C_NAMES = {"int64": "int64_t"}


def real_number(number: Any, name: str) -> Any:
    """A complex number without imaginary part as a real one; others as they are.

    Errors  DtypeError, PyTorch's RuntimeError, if it has one
    """
    if not isinstance(number, complex):
        return number
    if number.imag:
        raise DtypeError(f"value cannot be converted to type {name} without overflow: {number}")
    return number.real


def check_range(number, dtype: DType) -> None:
    """Raise DtypeError where PyTorch refuses to let a number wrap around in an integer dtype."""
    if isinstance(number, int) and not isinstance(number, bool) and dtype.category == INTEGER:
        limits = np.iinfo(dtype.dtype)
        low = -limits.max if limits.min == 0 else limits.min
        if not low <= number <= limits.max:
            raise DtypeError(
                f"value cannot be converted to type {dtype} without overflow: {number}"
            )


class _Constant:
    """Marks a lifted number: recorded as a constant, interned by value."""

    values: tuple = ()


CONSTANT = _Constant()

# ---------------------------------------------------------------- the one way


def unify(op: Op, given: Sequence) -> Sequence[Tensor]:
    """Operands as tensors with the dtypes that `op` takes."""
    operands: Any = [x if x.__class__ is Tensor else _operand(op, x) for x in given]
    rule = op.rule
    if rule in ("promote", "float", "compare"):
        dtype = common_dtype(op, operands)
        if op.bools != "taken":
            _check_bools(op, dtype, operands)
        return [lift(x, dtype) for x in operands]
    if rule == "where":
        condition, *branches = operands
        dtype = common_dtype(op, branches)
        for branch in branches:
            check_range(branch, dtype)
        return [lift(condition, dtypes.bool_), *(lift(x, dtype) for x in branches)]
    if rule == "logical":
        return [lift(x, dtypes.bool_) for x in operands]
    if rule in ("first", "index_put"):
        first, second, *rest = operands
        return [first, lift(second, first._aval.dtype), *rest]
    if rule == "need_float":
        (x,) = operands
        if not x._aval.dtype.is_inexact:
            raise DtypeError(
                f"{op.name}(): could not infer output dtype. Input dtype must be either a floating "
                f"point or complex dtype. Got: {legacy_name(x._aval.dtype)}\n"
                "  try  .float() or .to(tapejit.float64)"
            )
    return operands


_WITH_BOOL = {
    "sub": "Subtraction, the `-` operator, with",
    "neg": "Negation, the `-` operator, on",
}


def _check_bools(op, dtype, operands):
    """Raise DtypeError where an operation refuses booleans (`Op.bools`)."""
    is_any = any(
        (x._aval.dtype if isinstance(x, Tensor) else of_number(x)).category == BOOL
        for x in operands
    )
    if dtype.category == BOOL or (op.bools == "refused" and is_any):
        raise DtypeError(
            f"{_WITH_BOOL.get(op.name, op.name + '() of')} a bool tensor is not supported. If you "
            "are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )


_LEGACY = {
    "float64": "Double", "float32": "Float", "float16": "Half", "int64": "Long", "int32": "Int",
    "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool",
    "complex64": "ComplexFloat", "complex128": "ComplexDouble",
}  # fmt: skip


def legacy_name(dtype: DType) -> str:
    """What PyTorch's older messages and type names call a dtype: Float, Long, ..."""
    return _LEGACY[dtype.name]


def _operand(op, x):
    operand = as_operand(x)
    if operand is NotImplemented:
        raise DtypeError(
            f"{op.name}(): a tensor, array or number is needed, got {type(x).__name__}"
        )
    return operand


def apply(op: Op, operands: Sequence, attrs: tuple = (), value=None) -> Tensor:
    """Run one operation: bring operands to its dtypes, infer, evaluate, record.

    value  the result, where the caller has computed it already (in-place operations)
    """
    tensors = unify(op, operands)
    avals = tuple([x._aval for x in tensors])
    kind = op.kinds.get(avals + attrs) or infer_kind(op, avals, attrs)
    if kind.aval.device != CPU:
        check_devices(op, avals)
    if value is None:
        token = ERROR_STATE.set(SILENT)
        try:
            value = evaluate(kind, [x._value for x in tensors])
        finally:
            ERROR_STATE.reset(token)
    return record(kind, tensors, value)


def check_devices(op: Op, avals: Sequence[Aval]) -> None:
    """Raise unless operands lie on one device; numbers without axes may lie on the CPU.

    Errors  DeviceError
    """
    found = {a.device: None for a in avals if a.ndim or a.device != CPU}
    if len(found) > 1 and op is not _TO_DEVICE:
        raise DeviceError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{' and '.join(found)}! ({op.name} of {', '.join(map(str, avals))})\n"
            "  try  .to(device) on one of them"
        )


def record(kind: Kind, tensors: Sequence[Tensor], value, site=None) -> Tensor:
    """The tensor of a computed value, with its row if an operand is tracked."""
    result = Tensor()
    result._value = value
    result._aval = kind.aval
    tape = state.recording
    if (
        tape is None
        or not (kind.aval.dtype.is_inexact or tape.is_trace)
        or True not in [x._tracked for x in tensors]
    ):
        result._stamp = result._tape = None
        result._row = -1
        result._tracked = False
        return result
    if len(tape.values) > ROW_LIMIT and not tape.is_trace:
        seal_if_long(tape)
        tape = state.recording
    rows = [place(tape, x) for x in tensors]
    result._row = tape.add(kind, rows, value, site or user_site(_getframe(1)))
    result._tape = tape
    result._stamp = tape.stamp
    result._tracked = True
    if tape.is_trace and not state.grad_enabled and kind.op is not _DETACH:
        return apply(_DETACH, (result,))
    return result


def place(tape: Recording, x: Tensor) -> int:
    """The row of an operand on `tape`; numbers and foreign tensors become input rows."""
    if x._stamp is tape.stamp:
        return x._row
    if x._tape is CONSTANT:
        return tape.constant(x._value.item(), x._aval.dtype)
    return tape.adopt(x)


_DETACH = OPS["detach"]
_TO_DEVICE = OPS["to_device"]

# ---------------------------------------------------------------- foreign operands


def as_operand(x):
    """An operand of an operator: a tensor, a number, an array turned into a tensor."""
    if isinstance(x, Tensor | bool | int | float | complex):
        return x.item() if isinstance(x, np.generic) else x  # np.float64 is a Python float too
    if isinstance(x, np.ndarray | np.generic):
        return as_data(x)
    if isinstance(x, list | tuple) and state.parked.speaks_numpy:
        return joined(x)
    return from_gpu(x) if is_on_gpu(x) else NotImplemented


def tensor_of(x) -> Tensor:
    """An operand as a tensor: itself, or what is no tensor as data (`as_data`)."""
    return x if isinstance(x, Tensor) else as_data(x)


def from_gpu(x) -> Tensor:
    """Another library's array as data, in memory of its own as `as_data` has it.

    Nobody can tell whether it is the same at the next call: a trace that reads it is not kept.
    """
    if state.parked.is_trace:
        site = describe_site(user_site())
        state.parked.impure = f"reads a {type(x).__name__} that is no argument, at {site}"
    return wrap(shared(x, current.index).copy())


def joined(values) -> Tensor:
    """A nested list as one tensor; tensors in it keep their history."""
    if not any_tensor(values):
        return as_data(np.asarray(values))
    parts = [joined(v) if isinstance(v, list | tuple) else v for v in values]
    parts = [tensor_of(v) for v in parts]
    rows = [apply(OPS["reshape"], (v,), ((1, *v._aval.shape),)) for v in parts]
    return apply(OPS["cat"], tuple(rows), (0,))


def any_tensor(values) -> bool:
    """Whether a tensor is among values, or inside a list or tuple of them."""
    return any(
        isinstance(v, Tensor) or (isinstance(v, list | tuple) and any_tensor(v)) for v in values
    )


def as_data(value) -> Tensor:
    """A NumPy operand (array, scalar, list) as a tensor with memory of its own.

    An array that a program goes on writing to (``buffer[:] = ...`` in a loop) would otherwise
    change under the rows that read it, and with them the derivative.
    """
    if not isinstance(value, np.ndarray | np.generic | Tensor) and is_on_gpu(value):
        return from_gpu(value)
    # subok keeps a masked array or matrix what it is, for from_array to refuse
    data = from_array(np.array(value, subok=True)[()])
    if state.parked.device != CPU and data._aval.ndim:
        return wrap(moved(data._value, state.parked.device))
    return data


def data_beside(x: Tensor, array) -> Tensor:
    """An array or number of our own as data where a tensor lies."""
    return wrap(moved(np.asarray(array)[()], x._aval.device))


def from_array(array) -> Tensor:
    """An array or NumPy scalar as data, sharing memory where its layout allows.

    Errors  DtypeError for masked arrays, matrices, object and other arrays that tensors cannot hold
    """
    if isinstance(array, DeviceArray):
        return wrap(array)
    if isinstance(array, np.matrix):
        raise DtypeError(
            "tensor: of an np.matrix, * is the matrix product, which tensors would lose silently\n"
            "  try  np.asarray(matrix), and @ for the matrix product"
        )
    if dtypes.is_masked(array):
        raise DtypeError(
            "tensor: a masked array would lose its mask silently\n"
            "  try  array.filled(value), or the mask as an argument of its own and where()"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if isinstance(array, np.ndarray):
        array = np.asarray(array)
    return wrap(array)
