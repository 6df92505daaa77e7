"""Operations by others that have a form on a GPU, before a program is scheduled.

    convolutions    of many channels as matrix products: windows are copied into a matrix (im2col),
                    which costs their memory and leaves all multiplications to a library
    narrow dtypes   float16 in float32, short integers and at times truth values in int32, cast
                    before and behind: kernels do not take them, and the result is the same
    places          of several indices as one (flat_places.py)
    others          isinf of integers, argmax of one number

    matrices        slopes, pseudo-inverses, exponentials (matrices.py)
    spectra         Fourier transforms as products (spectra.py)
    complex         numbers as pairs of real ones (pairs.py)

What an operation becomes fuses and shares memory with what is around it.  Start at `formed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from tapejit import dtypes
from tapejit.build import Builder, Ref
from tapejit.ops.comparison import lt
from tapejit.ops.copies import cast, clone
from tapejit.ops.correlation import output_lengths
from tapejit.ops.linear import matmul, swap
from tapejit.ops.movement import permute, reshape, slice_, unslice
from tapejit.ops.random import random_uniform
from tapejit.ops.rounding import floor
from tapejit.ops.strided import strided, unstrided
from tapejit.runtime.cuda.forms import matrices, spectra
from tapejit.runtime.cuda.forms.flat_places import at_flat_places, is_flattened
from tapejit.runtime.cuda.forms.pairs import paired
from tapejit.schedule.loops import row_major, work_of
from tapejit.shapes import aval
from tapejit.tape import Program

# ---------------------------------------------------------------- the walk


class Libraries(NamedTuple):
    """What is there; asked where it matters, since that starts them."""

    has_blas: Callable[[], bool] = lambda: True
    """Whether a library does matrix products."""
    has_solver: Callable[[], bool] = lambda: True
    """Whether libraries do factorizations."""


ALL = Libraries()


def formed(program: Program, libraries: Libraries = ALL) -> Program:
    """The same outputs by other operations, where `_form_of` has some."""
    found = _formed(program, libraries)
    apart = paired(found)
    return found if apart is found else _formed(apart, libraries)


def _formed(program, libraries):
    tape = program.tape
    kinds = [tape.kind(row) for row in range(len(tape))]
    avals = [[kinds[x].aval for x in tape.operands(row)] for row in range(len(tape))]
    forms = [_form_of(kind, given, libraries) for kind, given in zip(kinds, avals, strict=True)]
    if not any(forms):
        return program
    builder, refs = Builder(), []
    for row, (kind, form) in enumerate(zip(kinds, forms, strict=True)):
        operands = [refs[x] for x in tape.operands(row)]
        if form is not None:
            refs.append(form(kind, *operands))
        else:
            number = builder.tape.append(kind, [x.row for x in operands])
            refs.append(Ref(builder, number, kind.aval))
    inputs, outputs = (
        [refs[row].row for row in rows] for rows in (program.inputs, program.outputs)
    )
    return Program(builder.tape, inputs, outputs)


def _form_of(kind, operands, libraries=ALL) -> Callable | None:
    """(kind, *operands) -> the result; None for what stays as it is."""
    name = kind.op.name
    if not kind.aval.size or not operands:
        return None
    if name in CONVOLUTIONS and _is_product(kind, operands) and libraries.has_blas():
        return lambda kind, *given: CONVOLUTIONS[name](*given, **kind.attributes())
    if name in spectra.FORMS and libraries.has_blas():
        return lambda kind, x: spectra.FORMS[name](kind, x, **kind.attributes())
    if kind.op.family == "random" and dtypes.float16 in [x.dtype for x in (*operands, kind.aval)]:
        return _drawn_in_single
    if any(_wide(kind.op, x.dtype) for x in (*operands, kind.aval)):
        return _widened
    if name in WRITTEN and not operands[-1].size:
        return lambda kind, x, *others: clone(x)
    if name == "searchsorted" and not operands[0].size:
        return lambda kind, edges, x: x.builder.literal(0, kind.aval)
    if is_flattened(kind, operands):
        return at_flat_places
    if name in ALONG and _goes_beyond(kind, operands):
        return ALONG[name]
    if name in OF_NUMBERS and not operands[0].ndim:
        return OF_NUMBERS[name]
    if name in OF_INTEGERS and not operands[0].dtype.is_inexact:
        return OF_INTEGERS[name]
    return matrices.form_of(kind, operands, libraries.has_solver)


# ---------------------------------------------------------------- narrow dtypes

WIDE = {
    dtypes.float16: "float32", dtypes.int16: "int32", dtypes.int8: "int32", dtypes.uint8: "int32"
}  # fmt: skip
WIDENED = (
    "elementwise", "reduction", "scan", "rows", "indexing", "pooling", "convolution"
)  # fmt: skip
"""Families that compute, or choose: the others take elements elsewhere, or have their own forms."""


COUNTED = {
    "convolution", "convolution_input", "convolution_weight", "unstrided", "index_combine", "clamp",
    "step", "heaviside", "relu", "sign", "floor", "ceil", "trunc", "round", "matmul",
}  # fmt: skip
"""What takes truth values as 0 and 1; what is not 0 in the end is true."""


def _wide(op, dtype):
    """What an operation computes in, in the place of this dtype; None where it may stay."""
    if dtype is dtypes.bool_:
        return "int32" if op.name in COUNTED else None
    if op.name == "matmul" and dtype is dtypes.float16:  # a library's
        return None
    has_loop = op.family == "library" and op.loop is not None
    if has_loop or op.family in WIDENED or op.name in ("matmul", "unstrided", "view_as_complex"):
        return WIDE.get(dtype)
    return None


def _widened(kind, *operands):
    """In a dtype that kernels take; the result is rounded, or wraps around, once."""
    wide = [
        x if (dtype := _wide(kind.op, x.dtype)) is None else cast(x, dtype=dtype) for x in operands
    ]
    result = kind.op(*wide, **kind.attributes())
    form = _form_of(result.builder.tape.kind(result.row), [x.aval for x in wide])
    if form is not None:  # isinf of short integers
        result = form(kind, *wide)
    if result.dtype is kind.aval.dtype:
        return result
    return cast(result, dtype=kind.aval.dtype.name)


def _drawn_in_single(kind, *operands):
    """Random numbers of float32 in float16; uniform ones towards zero, of 11 bits: never 1."""
    given = [cast(x, dtype="float32") if x.dtype is dtypes.float16 else x for x in operands]
    if kind.aval.dtype is not dtypes.float16:
        return kind.op(*given, **kind.attributes())
    x = kind.op(*given, **{**kind.attributes(), "dtype": "float32"})
    if kind.op is random_uniform:
        x = floor(x * 2048.0) * 2.0**-11
    return cast(x, dtype="float16")


# ---------------------------------------------------------------- integers and numbers


def _always(answer) -> Callable:
    return lambda kind, x: x.builder.literal(answer, kind.aval)


OF_INTEGERS = {
    "isinf": _always(False),
    "isfinite": _always(True),
    "signbit": lambda kind, x: lt(x, x.builder.literal(0, aval((), x.dtype))),
}
OF_NUMBERS = {"argmax": _always(0), "argmin": _always(0)}
"""Of arrays without axes."""

# ---------------------------------------------------------------- places along an axis


def _goes_beyond(kind, operands):
    """Whether, off its axis, an array of gather or scatter_add is longer than its indices."""
    index = operands[1].shape
    whole = kind.aval.shape if kind.op.name == "scatter_add" else operands[0].shape
    axis = kind.attributes()["axis"]
    return any(n != m for i, (n, m) in enumerate(zip(index, whole, strict=True)) if i != axis)


def _within(index, shape, axis):
    """The window of an array of this shape that indices along an axis reach: starts, ..., steps."""
    lengths = tuple(
        n if i == axis else m for i, (n, m) in enumerate(zip(shape, index, strict=True))
    )
    return (0,) * len(shape), lengths, (1,) * len(shape)


def _gather(kind, x, index):
    starts, lengths, steps = _within(index.shape, x.shape, kind.attributes()["axis"])
    part = slice_(x, starts=starts, lengths=lengths, steps=steps)
    return kind.op(part, index, **kind.attributes())


def _scatter_add(kind, x, index):
    axis, shape = kind.attributes()["axis"], kind.aval.shape
    starts, lengths, steps = _within(index.shape, shape, axis)
    part = slice_(x, starts=starts, lengths=index.shape, steps=steps)
    added = kind.op(part, index, shape=lengths, axis=axis)
    return unslice(added, shape=shape, starts=starts, steps=steps)


WRITTEN = ("index_put", "index_combine")
"""What changes elements at places: nothing, where there are none."""

ALONG = {"gather": _gather, "scatter_add": _scatter_add}

# ---------------------------------------------------------------- convolutions

MOST_GROUPS, FEWEST_ROWS, FEWEST_COLUMNS = 4, 16, 32
"""Groups up to which, and sizes of a group's weights from which, convolutions are products.  Others
have too little to multiply: their own loop (codegen/cuda/loop_convolutions.py) copies nothing."""


def _is_product(kind, operands):
    """Whether it pays, or there is no other form: not of all dtypes, nor of all shapes."""
    if not kind.aval.dtype.is_inexact:
        return False
    if work_of(kind, map(row_major, operands)) is None:
        return True
    weight = kind.aval if kind.op.name == "convolution_weight" else operands[1]
    groups = kind.attributes()["groups"]
    rows, columns = weight.shape[0] // groups, math.prod(weight.shape[1:])
    return groups <= MOST_GROUPS and rows >= FEWEST_ROWS and columns >= FEWEST_COLUMNS


def _windows(x, kernel, stride, padding, dilation):
    """x padded, and its windows: shape, starts and steps of a view (n, c, *kernel, *places)."""
    shape = x.shape
    if any(padding):
        shape = (*shape[:2], *(n + 2 * p for n, p in zip(shape[2:], padding, strict=True)))
        x = unslice(x, shape=shape, starts=(0, 0, *padding), steps=(1,) * len(shape))
    places = tuple(
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(shape[2:], kernel, stride, dilation, strict=True)
    )
    return x, _view_of_windows(shape[:2], kernel, places, stride, dilation)


def _view_of_windows(outer, kernel, places, stride, dilation):
    r = len(kernel)
    steps = []
    for axis in range(2 + r):
        row = [0] * (2 + 2 * r)
        if axis < 2:
            row[axis] = 1
        else:
            row[axis], row[axis + r] = dilation[axis - 2], stride[axis - 2]
        steps.append(tuple(row))
    return {
        "shape": (*outer, *kernel, *places), "starts": (0,) * (2 + r), "steps": tuple(steps)
    }  # fmt: skip


def _convolution(x, w, stride, padding, dilation, groups):
    """(groups, o, c K) by (n, groups, c K, T)."""
    (n, c), (o, _, *kernel) = x.shape[:2], w.shape
    x, view = _windows(x, kernel, stride, padding, dilation)
    lengths = view["shape"][2 + len(kernel) :]
    inner = c // groups * math.prod(kernel)
    columns = reshape(strided(x, **view), shape=(n, groups, inner, math.prod(lengths)))
    rows = reshape(w, shape=(groups, o // groups, inner))
    return reshape(matmul(rows, columns), shape=(n, o, *lengths))


def _convolution_input(y, w, lengths, stride, padding, dilation, groups):
    """The windows' cotangents, (groups, c K, o) by (n, groups, o, T), added up where they lie."""
    (n, o, *places), (_, c, *kernel) = y.shape, w.shape
    inner = c * math.prod(kernel)
    rows = reshape(w, shape=(groups, o // groups, inner))
    columns = matmul(swap(rows), reshape(y, shape=(n, groups, o // groups, math.prod(places))))
    padded = tuple(m + 2 * p for m, p in zip(lengths, padding, strict=True))
    view = _view_of_windows((n, c * groups), kernel, places, stride, dilation)
    shape = view.pop("shape")
    columns = reshape(columns, shape=shape)
    if columns.dtype in WIDE:  # rounded once
        columns = cast(columns, dtype=WIDE[columns.dtype])
    x = unstrided(columns, shape=(n, c * groups, *padded), **view)
    if x.dtype is not y.dtype:
        x = cast(x, dtype=y.dtype.name)
    if not any(padding):
        return x
    whole = (n, c * groups, *lengths)
    return slice_(x, starts=(0, 0, *padding), lengths=whole, steps=(1,) * len(whole))


def _convolution_weight(y, x, kernel, stride, padding, dilation, groups):
    """(groups, o, n T) by (groups, n T, c K): one long sum for each weight."""
    (n, o), c, r = y.shape[:2], x.shape[1], len(kernel)
    x, view = _windows(x, kernel, stride, padding, dilation)
    lengths = view["shape"][2 + r :]
    assert (
        lengths == y.shape[2:] == output_lengths(x.shape[2:], kernel, stride, (0,) * r, dilation)
    ), (lengths, y.shape)
    axes = (*range(1, 2 + r), 0, *range(2 + r, 2 + 2 * r))
    inner, long = c // groups * math.prod(kernel), n * math.prod(lengths)
    columns = reshape(permute(strided(x, **view), axes=axes), shape=(groups, inner, long))
    rows = reshape(permute(y, axes=(1, 0, *range(2, 2 + r))), shape=(groups, o // groups, long))
    return reshape(matmul(rows, swap(columns)), shape=(o, c // groups, *kernel))


CONVOLUTIONS = {
    "convolution": _convolution,
    "convolution_input": _convolution_input,
    "convolution_weight": _convolution_weight,
}
