"""Columns side by side in memory: operands that a loop reads and writes eight at a time.

A kernel may know that some of its operands are *neighbours* (plan.LoopKernel.neighbours): elements
0, 1, 2... of the same rows, as the columns of a (1000, 100) array are, whose rows the loop walks
along with a stride.  One by one each would cost a load or a store per element.  Here vectors go to
a frame on the stack, a slot of 64 bytes for each column, and a function turns 8 x 8 blocks of the
frame into rows, which are contiguous:

    tj_columns_in8(frame, n, base, stride, first, left, groups)     memory to frame, before the body
    tj_columns_out8(frame, n, base, stride, first, left, groups)    frame to memory, behind it

for n columns of 8-byte numbers (in4, out4: of 4 bytes) of the rows from `first` on, of which `left`
remain; a vector has 8 * groups lanes.  Lanes behind the last row are 1 in the frame, and not
written to memory.  Frames have room for a multiple of 8 columns.

One library for all kernels, compiled once per machine; it needs no padded copies at the tail.
`Neighbours` prints what a kernel does with it, `emit_columns` the library.
"""

from __future__ import annotations

from tapejit.codegen import loop_memory
from tapejit.codegen.vector_ops import SIZE, memory_vector

NAMES = ("tj_columns_in8", "tj_columns_out8", "tj_columns_in4", "tj_columns_out4")

COLUMNS = 8
"""Columns and rows of a block."""

# ---------------------------------------------------------------- in a kernel


class Neighbours:
    """The slots of a kernel's neighbours, which begin its %frame."""

    def __init__(self, kernel):
        self.groups, self.operands = kernel.neighbours, loop_memory.operands_of(kernel)
        self.n_inputs = len(kernel.inputs)
        self.slot: dict[int, int] = {}
        self.n_slots = 0
        for group in self.groups:
            self.slot |= {k: self.n_slots + i for i, k in enumerate(group)}
            self.n_slots += -(-len(group) // COLUMNS) * COLUMNS
        self.followers = frozenset(k for group in self.groups for k in group[1:])
        """Operands whose place in memory that of the first tells."""

    def place(self, result, k, lanes):
        """The type of a vector of operand k, and the text that makes its slot's address."""
        kind = memory_vector(self.operands[k].dtype, lanes)
        return kind, f"{result} = getelementptr [64 x i8], ptr %frame, i64 {self.slot[k]}\n"

    def read(self, result, k, lanes):
        """Text that loads a vector of operand k from its slot."""
        kind, place = self.place(f"{result}g", k, lanes)
        return f"{place}{result} = load {kind}, ptr {result}g, align 64\n"

    def write(self, result, k, lanes, value):
        """Text that puts a vector of operand k into its slot."""
        kind, place = self.place(f"{result}g", k, lanes)
        return f"{place}store {kind} {value}, ptr {result}g, align 64\n"

    def moves(self, is_output, lanes, needs):
        """Calls that bring inputs from memory to their slots, or outputs back, at %i."""
        lines = []
        for number, group in enumerate(self.groups):
            k = group[0]
            if (k >= self.n_inputs) != is_output:
                continue
            name = f"tj_columns_{'out' if is_output else 'in'}{SIZE[self.operands[k].dtype]}"
            needs.call_support(name, "void", "ptr, i64, ptr, i64, i64, i64, i64")
            result = f"%c{number}"
            lines.append(
                self.place(f"{result}g", k, lanes)[1]
                + loop_memory.load_slot(f"{result}b", "ptr", 2 * k)
                + loop_memory.load_slot(f"{result}t", "i64", 2 * k + 1)
                + f"{result}l = sub i64 %count, %i\n"
                f"call void @{name}(ptr {result}g, i64 {len(group)}, ptr {result}b, "
                f"i64 {result}t, i64 %i, i64 {result}l, i64 {lanes // 8})\n"
            )
        return lines


# ---------------------------------------------------------------- the library

# Three rounds of shuffles transpose eight vectors of eight: (first row, other row, lanes to take).
_ROUNDS = (
    (1, (0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15)),
    (2, (0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
    (4, (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
)

_HEAD = """
declare <8 x {t}> @llvm.masked.load.v8{t}.p0(ptr, i32, <8 x i1>, <8 x {t}>)
declare void @llvm.masked.store.v8{t}.p0(<8 x {t}>, ptr, i32, <8 x i1>)
"""

_WALK = """
define void @tj_columns_{way}{size}(
  ptr %frame, i64 %n, ptr %base, i64 %stride, i64 %first, i64 %left, i64 %groups) nounwind {{
entry:
  %jump = mul i64 %first, %stride
  %begin = getelementptr {t}, ptr %base, i64 %jump
  br label %group
group:
  %g = phi i64 [ 0, %entry ], [ %g_next, %group_end ]
  %rows = phi ptr [ %begin, %entry ], [ %rows_next, %group_end ]
  %here = phi i64 [ %left, %entry ], [ %here_next, %group_end ]
  %slots = phi ptr [ %frame, %entry ], [ %slots_next, %group_end ]
  br label %block
block:
  %j = phi i64 [ 0, %group ], [ %j_next, %block_end ]
  %some = sub i64 %n, %j
  %at = mul i64 %j, 64
  %slot = getelementptr i8, ptr %slots, i64 %at
  %row = getelementptr {t}, ptr %rows, i64 %j
  %all_columns = icmp sge i64 %some, 8
  %all_rows = icmp sge i64 %here, 8
  %is_full = and i1 %all_columns, %all_rows
  br i1 %is_full, label %full, label %partly
full:
{full}  br label %block_end
partly:
  %few = trunc i64 %some to i32
  %fews = insertelement <8 x i32> poison, i32 %few, i32 0
  %limit = shufflevector <8 x i32> %fews, <8 x i32> poison, <8 x i32> zeroinitializer
  %kept = icmp slt <8 x i32> <{numbers}>, %limit
{partly}  br label %block_end
block_end:
  %j_next = add i64 %j, 8
  %more = icmp slt i64 %j_next, %n
  br i1 %more, label %block, label %group_end
group_end:
  %g_next = add i64 %g, 1
  %here_next = sub i64 %here, 8
  %by = mul i64 %stride, 8
  %rows_next = getelementptr {t}, ptr %rows, i64 %by
  %slots_next = getelementptr i8, ptr %slots, i64 {half}
  %others = icmp slt i64 %g_next, %groups
  br i1 %others, label %group, label %done
done:
  ret void
}}
"""


def emit_columns() -> str:
    """The library as one LLVM module, which exports NAMES."""
    parts = []
    for size in (8, 4):
        numbers = ", ".join(f"i32 {lane}" for lane in range(COLUMNS))
        kind = f"i{8 * size}"
        parts.append(_HEAD.format(t=kind))
        for way, block in (("in", _block_in), ("out", _block_out)):
            text = _WALK.format(
                way=way, size=size, t=kind, numbers=numbers, half=COLUMNS * size,
                full=block(kind, "f", False), partly=block(kind, "p", True),
            )  # fmt: skip
            parts.append(text)
    return "".join(parts)


def _block_in(kind, tag, is_partial):
    """Eight rows of memory to eight slots."""
    ones = f"splat ({kind} {'4607182418800017408' if kind == 'i64' else '1065353216'})"
    lines = _addresses(kind, tag)
    for i in range(COLUMNS):
        if is_partial:
            lines.append(_mask(tag, i))
            lines.append(
                f"  %{tag}0_{i} = call <8 x {kind}> @llvm.masked.load.v8{kind}.p0("
                f"ptr %{tag}r{i}, i32 {_bytes(kind)}, <8 x i1> %{tag}m{i}, <8 x {kind}> {ones})\n"
            )
        else:
            lines.append(
                f"  %{tag}0_{i} = load <8 x {kind}>, ptr %{tag}r{i}, align {_bytes(kind)}\n"
            )
    lines.append(_transposed(kind, tag))
    for i in range(COLUMNS):
        lines.append(f"  store <8 x {kind}> %{tag}3_{i}, ptr %{tag}s{i}, align 32\n")
    return "".join(lines)


def _block_out(kind, tag, is_partial):
    """Eight slots to eight rows of memory."""
    lines = _addresses(kind, tag)
    for i in range(COLUMNS):
        lines.append(f"  %{tag}0_{i} = load <8 x {kind}>, ptr %{tag}s{i}, align 32\n")
    lines.append(_transposed(kind, tag))
    for i in range(COLUMNS):
        if is_partial:
            lines.append(_mask(tag, i))
            lines.append(
                f"  call void @llvm.masked.store.v8{kind}.p0(<8 x {kind}> %{tag}3_{i}, "
                f"ptr %{tag}r{i}, i32 {_bytes(kind)}, <8 x i1> %{tag}m{i})\n"
            )
        else:
            lines.append(
                f"  store <8 x {kind}> %{tag}3_{i}, ptr %{tag}r{i}, align {_bytes(kind)}\n"
            )
    return "".join(lines)


def _bytes(kind):
    return int(kind[1:]) // 8


def _addresses(kind, tag):
    """Where each row of the block and each slot begins."""
    lines = []
    for i in range(COLUMNS):
        lines.append(f"  %{tag}o{i} = mul i64 %stride, {i}\n")
        lines.append(f"  %{tag}r{i} = getelementptr {kind}, ptr %row, i64 %{tag}o{i}\n")
        lines.append(f"  %{tag}s{i} = getelementptr i8, ptr %slot, i64 {64 * i}\n")
    return lines


def _mask(tag, i):
    """The columns that there are, if there is a row i."""
    return (
        f"  %{tag}h{i} = icmp sgt i64 %here, {i}\n"
        f"  %{tag}m{i} = select i1 %{tag}h{i}, <8 x i1> %kept, <8 x i1> zeroinitializer\n"
    )


def _transposed(kind, tag):
    """%tag0_i, the rows, to %tag3_i, the columns."""
    lines = []
    for number, (distance, *halves) in enumerate(_ROUNDS):
        for i in range(COLUMNS):
            low = i & ~distance
            lanes = ", ".join(f"i32 {lane}" for lane in halves[bool(i & distance)])
            lines.append(
                f"  %{tag}{number + 1}_{i} = shufflevector <8 x {kind}> %{tag}{number}_{low}, "
                f"<8 x {kind}> %{tag}{number}_{low | distance}, <8 x i32> <{lanes}>\n"
            )
    return "".join(lines)
