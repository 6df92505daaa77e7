"""Machine code for calls of native functions in @njit code.

A call is a few lines in the caller's own code: test the shapes, take pointers, call the C function,
look at its status.  The function's text is linked into the caller's library; where it is small,
LLVM makes one of the two, and numbers never see memory.  It holds no address, so the caller's disk
cache keeps all that it needs, and another process compiles nothing.

    arguments   row-major arrays as they are, others as a copy; numbers in a slot of the stack
    answers     numbers through slots; arrays fresh from Numba's allocator, or those of `out`
    work        what the function asks for, allocated for the call
    failures    shapes, shared memory and a status other than 0 raise, and leave nothing behind

Start at `lower_call`.  Types: numba_typing.py; what makes a cached caller stale: numba_cache.py.

Internals of Numba that are used: `set_dynamic_user_exc`, the NRT context, `add_linking_library`
(of its argument Numba reads no more than the three names of `Linked`).
"""

from __future__ import annotations

import functools
import math
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.callconv import RETCODE_USEREXC
from numba.core.typing.templates import signature
from numba.extending import NativeValue, lower_builtin, models, register_model, unbox
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import from_dtype

from tapejit.errors import ArgumentError, GuardError, ShapeError
from tapejit.interop.numba_cache import expect
from tapejit.interop.numba_typing import (
    OUT,
    Match,
    NativeType,
    array_words,
    examples_of,
    is_array,
    kinds_in,
)
from tapejit.runtime.freestanding import Freestanding
from tapejit.transforms.native.records import (
    Array,
    Constant,
    Number,
    Result,
    leaves_of,
    names_of,
    parts_of,
)

BYTES = ir.IntType(8).as_pointer()
SIZE = ir.IntType(64)
STATUS = ir.IntType(32)
ALIGNMENT = 64

register_model(NativeType)(models.OpaqueModel)


@unbox(NativeType)
def unbox_native(typ, obj, c):
    """All that is known of a native function is in its type."""
    return NativeValue(c.context.get_dummy_value())


@lower_builtin(NativeType, NativeType, types.VarArg(types.Any))
def lower_call(context, builder, sig, args, loc=None):
    """The call of the native function whose type comes first."""
    call = _Call(context, builder, sig.args[0].native)
    expect(context, builder, call.native, loc)
    link(context, call.native.code)
    n_examples = len(examples_of(call.native))
    call.take_arguments(sig.args[1 : 1 + n_examples], args[1 : 1 + n_examples])
    call.take_targets(sig.args[1 + n_examples :], args[1 + n_examples :])
    call.copy_arguments()
    return call.nested(call.native.answer, sig.return_type, iter(call.run()))


# ---------------------------------------------------------------- linking


class Linked:
    """The text of a native function as a library that Numba can link; it is compiled with, and as
    part of, what calls it."""

    def __init__(self, code: Freestanding, data_layout: str):
        text = code.text.replace(
            f"define i32 @{code.symbol}(", f"define linkonce_odr i32 @{code.symbol}(", 1
        )
        self.module = binding.parse_assembly(text)
        self.module.data_layout = data_layout
        self._reload_init: set = set()

    def _ensure_finalized(self):
        pass

    def _get_module_for_linking(self):
        return self.module


@functools.lru_cache(maxsize=64)
def _linked(code: Freestanding, data_layout: str) -> Linked:
    return Linked(code, data_layout)


def link(context, code: Freestanding) -> None:
    """Make the code part of the library that is being compiled."""
    library = context.active_code_library
    library.add_linking_library(_linked(code, context.codegen()._data_layout))


# ---------------------------------------------------------------- errors


class WrongShape(ShapeError):
    """An array of another shape than the example."""

    def __init__(self, text, *shape):
        super().__init__(f"{text}\n  got  {shape}" if shape else text)


def raise_shape(context, builder, text, dims) -> None:
    """Raise WrongShape; as `return_user_exc`, but with the numbers of a run."""
    convention = context.call_conv
    kinds = (None, *(types.intp for _ in dims))
    convention.set_dynamic_user_exc(builder, WrongShape, (text, *dims), kinds)
    handler: Any = getattr(builder, "_in_try_block", None)
    if handler:
        builder.branch(handler["target"])
    else:
        convention._return_errcode_raw(builder, RETCODE_USEREXC)


# ---------------------------------------------------------------- one call


class _Call:
    """One call, printed from the arguments to the answer."""

    def __init__(self, context, builder, native):
        self.context, self.builder, self.native = context, builder, native
        self.pointers: list = []
        """Of all inputs, then of all outputs."""
        self.read: list = []
        """(pointer, bytes) of the caller's own memory that is read, or written."""
        self.strided: list = []
        """(number of the input, type, value) of arrays that are to be copied."""
        self.copies: list = []
        """(type, value) of row-major copies."""
        self.targets: list = []
        """(type, value) of the arrays of `out`."""

    def refuse(self, condition, error, text):
        """Raise where the condition holds."""
        with self.builder.if_then(condition, likely=False):
            self.context.call_conv.return_user_exc(
                self.builder, error, (f"{self.native.__name__}: {text}",)
            )

    # ------------------------------------------------------------ arguments

    def take_arguments(self, kinds, values):
        """Test the arguments and gather the pointers of the inputs."""
        match = Match(self.native, self.context.typing_context)
        for i, (expected, where) in enumerate(examples_of(self.native).values()):
            match.argument(expected, kinds[i], (i,), where)
        for leaf in match.leaves:
            first, *inner = leaf.path
            value = values[first]
            if inner:
                value = self.builder.extract_value(value, inner)
            if isinstance(leaf.expected, Array):
                self.pointers.append(self.array(leaf.expected, leaf.type, value, leaf.where))
            elif isinstance(leaf.expected, Number):
                self.pointers.append(self.slot(leaf.type, value))
            else:
                self.static(leaf, value)

    def static(self, leaf, value):
        """Test a number that the type does not hold."""
        if isinstance(leaf.type, types.Integer | types.Boolean):
            wanted = self.context.get_constant(leaf.type, leaf.expected.value)
            other = self.builder.icmp_signed("!=", value, wanted)
            words = f"{leaf.where} was {leaf.expected.value!r} in the example, and has to be"
            self.refuse(other, ArgumentError, words)

    def slot(self, kind, value=None):
        """The address of a number in memory."""
        pointer = cgutils.alloca_once(self.builder, self.context.get_data_type(kind))
        if value is not None:
            self.context.pack_value(self.builder, kind, value, pointer)
        return pointer

    def array(self, expected, kind, value, where):
        """The address of numbers of the expected shape; None until they are copied."""
        array = self.tested(expected, kind, value, where)
        if kind.layout == "C" and kind.aligned:
            self.read.append((array.data, expected))
            return array.data
        self.strided.append((len(self.pointers), kind, value))
        return None

    def copy_arguments(self):
        """Make row-major copies, when nothing is refused any more that would leave them behind."""
        for number, kind, value in self.strided:
            copied = types.Array(kind.dtype, kind.ndim, "C")
            copy = self.context.compile_internal(
                self.builder, _row_major, signature(copied, kind), [value]
            )
            self.copies.append((copied, copy))
            self.pointers[number] = self.data(copied, copy)

    def tested(self, expected, kind, value, where):
        """An array, known to be of the expected shape."""
        builder = self.builder
        array = make_array(kind)(self.context, builder, value)
        dims = cgutils.unpack_tuple(builder, array.shape) if kind.ndim else []
        differs = ir.Constant(ir.IntType(1), 0)
        for dim, length in zip(dims, expected.shape, strict=True):
            differs = builder.or_(differs, builder.icmp_signed("!=", dim, dim.type(length)))
        with builder.if_then(differs, likely=False):
            words = f"{self.native.__name__}: {where} takes an array, {array_words(expected)}"
            raise_shape(self.context, builder, words, dims)
        return array

    # ------------------------------------------------------------ answers

    def take_targets(self, kinds, values):
        """Test the arrays of `out`: their shapes, and that they share memory with nothing."""
        if not kinds or kinds[0] is types.none:
            return
        wanted = [leaf for leaf in leaves_of(self.native.answer) if is_array(leaf)]
        kind, value = kinds[0], values[0]
        targets = [(kind, value)]
        if isinstance(kind, types.BaseTuple):
            parts = cgutils.unpack_tuple(self.builder, value, len(kind))
            targets = list(zip(kinds_in(kind), parts, strict=True))
        for leaf, (kind, value) in zip(wanted, targets, strict=True):
            data = self.tested(leaf, kind, value, OUT).data
            for other, expected in self.read:
                self.refuse(
                    self.overlap(data, leaf, other, expected),
                    ArgumentError,
                    f"an array of {OUT} shares memory with an argument, or with another of them"
                    "\n  try  an array of its own",
                )
            self.read.append((data, leaf))
            self.targets.append((kind, value))

    def overlap(self, one, leaf, other, expected):
        """Whether two arrays have a byte in common."""
        builder, ends = self.builder, []
        n_bytes = [math.prod(x.shape) * x.dtype.itemsize for x in (leaf, expected)]
        if not all(n_bytes):
            return ir.Constant(ir.IntType(1), 0)
        starts = [builder.ptrtoint(pointer, SIZE) for pointer in (one, other)]
        ends = [builder.add(s, SIZE(n)) for s, n in zip(starts, n_bytes, strict=True)]
        return builder.and_(
            builder.icmp_unsigned("<", starts[0], ends[1]),
            builder.icmp_unsigned("<", starts[1], ends[0]),
        )

    def fresh(self, leaf):
        """(type, value) of a new array."""
        builder, context = self.builder, self.context
        kind = types.Array(from_dtype(leaf.dtype), len(leaf.shape), "C")
        array = make_array(kind)(context, builder)
        n_bytes = math.prod(leaf.shape) * leaf.dtype.itemsize
        memory = context.nrt.meminfo_alloc_aligned(builder, SIZE(n_bytes), ALIGNMENT)
        data = context.nrt.meminfo_data(builder, memory)
        strides = [
            leaf.dtype.itemsize * math.prod(leaf.shape[k + 1 :]) for k in range(len(leaf.shape))
        ]
        populate_array(
            array,
            data=builder.bitcast(data, array.data.type),
            shape=[SIZE(n) for n in leaf.shape],
            strides=[SIZE(n) for n in strides],
            itemsize=leaf.dtype.itemsize,
            meminfo=memory,
        )
        return kind, array._getvalue()

    # ------------------------------------------------------------ the run

    def run(self) -> list:
        """Call the function; raise unless it is done; what is computed, in order."""
        builder, context = self.builder, self.context
        results = [leaf for leaf in leaves_of(self.native.answer) if isinstance(leaf, Result)]
        arrays = self.targets or [self.fresh(leaf) for leaf in results if is_array(leaf)]
        numbers = [(kind, self.slot(kind)) for kind in _number_types(results)]
        in_turn = {True: iter(arrays), False: iter(numbers)}
        answers = [(leaf, *next(in_turn[is_array(leaf)])) for leaf in results]
        self.pointers += [self.data(kind, x) if is_array(leaf) else x for leaf, kind, x in answers]

        status = self.called()
        for kind, value in self.copies:
            context.nrt.decref(builder, kind, value)
        with builder.if_then(builder.icmp_signed("!=", status, STATUS(0)), likely=False):
            if not self.targets:
                for kind, value in arrays:
                    context.nrt.decref(builder, kind, value)
            self.fail(status)

        for kind, value in self.targets:  # the answer holds them too
            context.nrt.incref(builder, kind, value)
        return [
            x if is_array(leaf) else context.unpack_value(builder, kind, x)
            for leaf, kind, x in answers
        ]

    def data(self, kind, value):
        """Where the numbers of an array are."""
        return make_array(kind)(self.context, self.builder, value).data

    def called(self):
        """The status of the call."""
        builder, context, code = self.builder, self.context, self.native.code
        work, raw = ir.Constant(BYTES, None), None
        if code.work_bytes:
            raw = context.nrt.allocate(builder, SIZE(code.work_bytes + ALIGNMENT))
            above = builder.add(builder.ptrtoint(raw, SIZE), SIZE(ALIGNMENT - 1))
            work = builder.inttoptr(builder.and_(above, SIZE(-ALIGNMENT)), BYTES)
        kinds = [BYTES] * (len(self.pointers) + 1)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(STATUS, [*kinds, SIZE]), code.symbol
        )
        pointers = [builder.bitcast(pointer, BYTES) for pointer in self.pointers]
        status = builder.call(function, [*pointers, work, SIZE(code.work_bytes)])
        if raw is not None:
            context.nrt.free(builder, raw)
        return status

    def fail(self, status):
        """Raise what a status other than 0 means."""
        for k, reason in enumerate(self.native.code.failures, 1):
            self.refuse(
                self.builder.icmp_signed("==", status, STATUS(k)), GuardError, _no_path(reason)
            )
        self.context.call_conv.return_user_exc(
            self.builder, ArgumentError, (f"{self.native.__name__}: {REFUSED}",)
        )

    def nested(self, tree, kind, values):
        """The answer, or a part of it, as the caller's value."""
        parts = parts_of(tree)
        if parts is None:
            if isinstance(tree, Constant):
                return self.context.get_constant_generic(self.builder, kind, tree.value)
            return next(values)
        order = (
            range(len(parts))
            if names_of(tree) is None
            else [kind.fields.index(n) for n, _ in parts]
        )
        inner = {
            i: self.nested(part, kind.types[i], values)
            for i, (_, part) in zip(order, parts, strict=True)
        }
        return self.context.make_tuple(self.builder, kind, [inner[i] for i in range(len(parts))])


REFUSED = (
    "the numbers have no answer\n  got  an index out of range, or a matrix that is singular or not "
    "positive definite"
)


def _no_path(reason: str) -> str:
    return (
        f"no recorded path fits these arguments\n  got  {reason}\n"
        "  try  calling the function on such arguments before .numba(...)"
    )


def _number_types(results) -> list:
    return [from_dtype(leaf.dtype) for leaf in results if not is_array(leaf)]


def _row_major(array):
    """Compiled by Numba: a row-major copy."""
    return array.copy()
