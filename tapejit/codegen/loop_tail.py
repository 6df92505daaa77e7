"""The tail of a loop: functions that move operands to padded buffers, and results back.

    tj_tail_in(state, pads, table, n, full, left)     before the loop's last run
    tj_tail_out(state, pads, table, n, full, left)    after it
    tj_tail_keep(sum, old, size, left, lanes)         lanes that saw padding take their old value
    tj_tail_splat(number)                             a float64 in eight lanes

One library for all kernels, compiled once per machine: written out in each kernel, the tail was
half of the time to compile ten operations.  A row of `table` says for one operand:

    slot     where `state` holds its base pointer; the next slot holds its stride
    size     bytes of an element: 1, 4 or 8
    todo     1 it is read, 2 it is written, 4 it has a stride (else 1)
    ones     eight bytes of padding, elements equal to one: no function is slow or traps on it

A pad is 128 bytes: 64 of elements, then the base pointer and the stride that the operand had.
`full` elements are done and `left` remain, 0 < left < lanes.
"""

from __future__ import annotations

# ---------------------------------------------------------------- data

ONES = {
    "f64": 0x3FF0000000000000,
    "f32": 0x3F8000003F800000,
    "i64": 1,
    "i32": 0x100000001,
    "bool": 0x0101010101010101,
}

NAMES = ("tj_tail_in", "tj_tail_out", "tj_tail_keep", "tj_tail_splat")

_COPY = """
define internal void @copy{size}(ptr %to, i64 %by, ptr %from, i64 %step, i64 %n) nounwind {{
entry:
  br label %one
one:
  %e = phi i64 [ 0, %entry ], [ %next, %one ]
  %f = mul i64 %e, %step
  %g = getelementptr i{bits}, ptr %from, i64 %f
  %x = load i{bits}, ptr %g, align {size}
  %t = mul i64 %e, %by
  %h = getelementptr i{bits}, ptr %to, i64 %t
  store i{bits} %x, ptr %h, align {size}
  %next = add i64 %e, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %one, label %done
done:
  ret void
}}
"""

_COPY_ANY = """
define internal void @copy(ptr %to, i64 %by, ptr %from, i64 %step, i64 %n, i64 %size) nounwind {
  switch i64 %size, label %eight [ i64 1, label %one  i64 4, label %four ]
one:
  call void @copy1(ptr %to, i64 %by, ptr %from, i64 %step, i64 %n)
  ret void
four:
  call void @copy4(ptr %to, i64 %by, ptr %from, i64 %step, i64 %n)
  ret void
eight:
  call void @copy8(ptr %to, i64 %by, ptr %from, i64 %step, i64 %n)
  ret void
}
"""

_MOVE = """
define void @tj_tail_{where}(ptr %state, ptr %pads, ptr %table, i64 %n, i64 %full, i64 %left)
  nounwind {{
entry:
  br label %row
row:
  %i = phi i64 [ 0, %entry ], [ %next, %end ]
  %pad = getelementptr [128 x i8], ptr %pads, i64 %i
  %base_kept = getelementptr i8, ptr %pad, i64 64
  %stride_kept = getelementptr i8, ptr %pad, i64 72
  %record = getelementptr [4 x i64], ptr %table, i64 %i
  %slot = load i64, ptr %record
  %size_at = getelementptr i64, ptr %record, i64 1
  %size = load i64, ptr %size_at
  %todo_at = getelementptr i64, ptr %record, i64 2
  %todo = load i64, ptr %todo_at
{body}
end:
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %row, label %done
done:
  ret void
}}
"""

_IN = """\
  %ones_at = getelementptr i64, ptr %record, i64 3
  %ones = load i64, ptr %ones_at
  %at = getelementptr i64, ptr %state, i64 %slot
  %by = getelementptr i64, ptr %at, i64 1
  %base = load ptr, ptr %at
  %own = load i64, ptr %by
  %strided = and i64 %todo, 4
  %is_strided = icmp ne i64 %strided, 0
  %stride = select i1 %is_strided, i64 %own, i64 1
  %bytes = mul i64 %full, %size
  %back = sub i64 0, %bytes
  %moved = getelementptr i8, ptr %pad, i64 %back
  store ptr %base, ptr %base_kept
  store i64 %stride, ptr %stride_kept
  store ptr %moved, ptr %at
  store i64 1, ptr %by
  %read = and i64 %todo, 1
  %is_read = icmp ne i64 %read, 0
  br i1 %is_read, label %fill, label %end
fill:
  %one = insertelement <8 x i64> poison, i64 %ones, i32 0
  %all = shufflevector <8 x i64> %one, <8 x i64> poison, <8 x i32> zeroinitializer
  %jump = mul i64 %bytes, %stride
  %from = getelementptr i8, ptr %base, i64 %jump
  %way = select i1 %is_strided, i64 0, i64 %size
  switch i64 %way, label %singly [ i64 4, label %fours  i64 8, label %eights ]
fours:
  call void @in4(ptr %pad, <8 x i64> %all, ptr %from, i64 %left)
  br label %end
eights:
  call void @in8(ptr %pad, <8 x i64> %all, ptr %from, i64 %left)
  br label %end
singly:
  store <8 x i64> %all, ptr %pad, align 64
  call void @copy(ptr %pad, i64 1, ptr %from, i64 %stride, i64 %left, i64 %size)
  br label %end"""

_OUT = """\
  %written = and i64 %todo, 2
  %is_written = icmp ne i64 %written, 0
  br i1 %is_written, label %put, label %end
put:
  %base = load ptr, ptr %base_kept
  %stride = load i64, ptr %stride_kept
  %bytes = mul i64 %full, %size
  %jump = mul i64 %bytes, %stride
  %to = getelementptr i8, ptr %base, i64 %jump
  %strided = and i64 %todo, 4
  %is_strided = icmp ne i64 %strided, 0
  %way = select i1 %is_strided, i64 0, i64 %size
  switch i64 %way, label %singly [ i64 4, label %fours  i64 8, label %eights ]
fours:
  call void @out4(ptr %to, ptr %pad, i64 %left)
  br label %end
eights:
  call void @out8(ptr %to, ptr %pad, i64 %left)
  br label %end
singly:
  call void @copy(ptr %to, i64 %stride, ptr %pad, i64 1, i64 %left, i64 %size)
  br label %end"""

# Elements of 4 and 8 bytes without a stride, the usual case, by one masked instruction.
_MASKED_IN = """
define internal void @in{size}(ptr %pad, <8 x i64> %ones, ptr %from, i64 %left) nounwind {{
  %few = trunc i64 %left to i32
  %one = insertelement <{lanes} x i32> poison, i32 %few, i32 0
  %all = shufflevector <{lanes} x i32> %one, <{lanes} x i32> poison, <{lanes} x i32> zeroinitializer
  %mask = icmp ult <{lanes} x i32> <{numbers}>, %all
  %rest = bitcast <8 x i64> %ones to <{lanes} x i{bits}>
  %x = call <{lanes} x i{bits}> @llvm.masked.load.v{lanes}i{bits}.p0(
    ptr %from, i32 {size}, <{lanes} x i1> %mask, <{lanes} x i{bits}> %rest)
  store <{lanes} x i{bits}> %x, ptr %pad, align 64
  ret void
}}
"""

_MASKED_OUT = """
define internal void @out{size}(ptr %to, ptr %pad, i64 %left) nounwind {{
  %few = trunc i64 %left to i32
  %one = insertelement <{lanes} x i32> poison, i32 %few, i32 0
  %all = shufflevector <{lanes} x i32> %one, <{lanes} x i32> poison, <{lanes} x i32> zeroinitializer
  %mask = icmp ult <{lanes} x i32> <{numbers}>, %all
  %x = load <{lanes} x i{bits}>, ptr %pad, align 64
  call void @llvm.masked.store.v{lanes}i{bits}.p0(
    <{lanes} x i{bits}> %x, ptr %to, i32 {size}, <{lanes} x i1> %mask)
  ret void
}}
"""

_MASKED_DECLARATIONS = """
declare <{lanes} x i{bits}> @llvm.masked.load.v{lanes}i{bits}.p0(
  ptr, i32, <{lanes} x i1>, <{lanes} x i{bits}>)
declare void @llvm.masked.store.v{lanes}i{bits}.p0(
  <{lanes} x i{bits}>, ptr, i32, <{lanes} x i1>)
"""

_KEEP = """
define void @tj_tail_keep(ptr %sum, ptr %old, i64 %size, i64 %left, i64 %lanes) nounwind {
  %skip = mul i64 %left, %size
  %to = getelementptr i8, ptr %sum, i64 %skip
  %from = getelementptr i8, ptr %old, i64 %skip
  %n = sub i64 %lanes, %left
  call void @copy(ptr %to, i64 1, ptr %from, i64 1, i64 %n, i64 %size)
  ret void
}
"""

_SPLAT = """
define <8 x double> @tj_tail_splat(ptr %number) nounwind {
  %x = load double, ptr %number
  %one = insertelement <8 x double> poison, double %x, i32 0
  %all = shufflevector <8 x double> %one, <8 x double> poison, <8 x i32> zeroinitializer
  ret <8 x double> %all
}
"""

# ---------------------------------------------------------------- operations


def emit_tail() -> str:
    """The library as one LLVM module, which exports NAMES."""
    copies = [_COPY.format(size=size, bits=8 * size) for size in (1, 4, 8)]
    masked = [
        text.format(size=size, bits=8 * size, lanes=64 // size, numbers=_numbered(size))
        for size in (4, 8)
        for text in (_MASKED_DECLARATIONS, _MASKED_IN, _MASKED_OUT)
    ]
    moves = [_MOVE.format(where=where, body=body) for where, body in (("in", _IN), ("out", _OUT))]
    return "".join([*copies, _COPY_ANY, *masked, _KEEP, _SPLAT, *moves])


def _numbered(size):
    """Every lane of 64 bytes with its number."""
    return ", ".join(f"i32 {lane}" for lane in range(64 // size))
