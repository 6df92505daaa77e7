"""Columns side by side in memory: operands that a loop reads and writes row by row.

A kernel may know that some of its operands are *neighbours* (plan.LoopKernel.neighbours): elements
0, 1, 2... of the same rows, as the columns of a (1000, 100) array are, whose rows the loop walks
along with a stride.  One by one each would cost a load or a store per element.  Here vectors go to
a frame on the stack, a slot of 64 bytes for each column, and a function turns square blocks of it,
32 bytes wide, into parts of rows, which are contiguous:

    tj_columns_in8(frame, n, base, stride, first, left, groups)     memory to frame, before the body
    tj_columns_out8(frame, n, base, stride, first, left, groups)    frame to memory, behind it

for n columns of 8-byte numbers (in4, out4: of 4 bytes) of the rows from `first` on, of which `left`
remain; a vector has 32 * groups bytes.  Lanes behind the last row are 1 in the frame, and not
written to memory.  Frames have room for a multiple of 8 columns.  (Blocks of 64 bytes took half as
long again on a processor that does those in two steps.)

One library for all kernels, compiled once per machine; it needs no padded copies at the tail.
`Neighbours` prints what a kernel does with it, `emit_columns` the library.
"""

from __future__ import annotations

from tapejit.codegen import loop_memory, loop_tail
from tapejit.codegen.vector_ops import SIZE, memory_vector

NAMES = ("tj_columns_in8", "tj_columns_out8", "tj_columns_in4", "tj_columns_out4")

COLUMNS = 8
"""Columns of the widest block."""

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
            size = SIZE[self.operands[k].dtype]
            name, groups = f"tj_columns_{'out' if is_output else 'in'}{size}", lanes * size // 32
            needs.call_support(name, "void", "ptr, i64, ptr, i64, i64, i64, i64")
            result = f"%c{number}"
            lines.append(
                self.place(f"{result}g", k, lanes)[1]
                + loop_memory.load_slot(f"{result}b", "ptr", 2 * k)
                + loop_memory.load_slot(f"{result}t", "i64", 2 * k + 1)
                + f"{result}l = sub i64 %count, %i\n"
                f"call void @{name}(ptr {result}g, i64 {len(group)}, ptr {result}b, "
                f"i64 {result}t, i64 %i, i64 {result}l, i64 {groups})\n"
            )
        return lines


# ---------------------------------------------------------------- the library

_HEAD = """
declare <{side} x {t}> @llvm.masked.load.v{side}{t}.p0(ptr, i32, <{side} x i1>, <{side} x {t}>)
declare void @llvm.masked.store.v{side}{t}.p0(<{side} x {t}>, ptr, i32, <{side} x i1>)
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
  %all_columns = icmp sge i64 %some, {side}
  %all_rows = icmp sge i64 %here, {side}
  %is_full = and i1 %all_columns, %all_rows
  br i1 %is_full, label %full, label %partly
full:
{full}  br label %block_end
partly:
  %few = trunc i64 %some to i32
  %fews = insertelement <{side} x i32> poison, i32 %few, i32 0
  %limit = shufflevector <{side} x i32> %fews, <{side} x i32> poison, <{side} x i32> zeroinitializer
  %kept = icmp slt <{side} x i32> <{numbers}>, %limit
{partly}  br label %block_end
block_end:
  %j_next = add i64 %j, {side}
  %more = icmp slt i64 %j_next, %n
  br i1 %more, label %block, label %group_end
group_end:
  %g_next = add i64 %g, 1
  %here_next = sub i64 %here, {side}
  %by = mul i64 %stride, {side}
  %rows_next = getelementptr {t}, ptr %rows, i64 %by
  %slots_next = getelementptr i8, ptr %slots, i64 32
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
        block = _Block(size)
        parts.append(_HEAD.format(t=block.kind, side=block.side))
        for way in ("in", "out"):
            write = block.read_in if way == "in" else block.write_out
            parts.append(
                _WALK.format(
                    way=way,
                    size=size,
                    t=block.kind,
                    side=block.side,
                    numbers=block.numbers,
                    full=write("f", False),
                    partly=write("p", True),
                )
            )
    return "".join(parts)


class _Block:
    """The text that turns one block: rows of memory, 32 bytes each, to halves of slots, or back."""

    def __init__(self, size):
        self.size, self.kind, self.side = size, f"i{8 * size}", 32 // size
        self.vector = f"<{self.side} x {self.kind}>"
        self.mask = f"<{self.side} x i1>"
        self.numbers = ", ".join(f"i32 {lane}" for lane in range(self.side))
        one = loop_tail.ONES["f64"] if size == 8 else loop_tail.ONES["f32"] & 0xFFFFFFFF
        self.ones = f"splat ({self.kind} {one})"
        self.rounds = [1 << i for i in range(self.side.bit_length() - 1)]

    def read_in(self, tag, is_partial):
        """Rows of memory to slots."""
        lines, last = self.addresses(tag), len(self.rounds)
        for i in range(self.side):
            if is_partial:
                lines.append(
                    self.is_kept(tag, i) + f"  %{tag}0_{i} = call {self.vector} "
                    f"@llvm.masked.load.v{self.side}{self.kind}.p0(ptr %{tag}r{i}, "
                    f"i32 {self.size}, {self.mask} %{tag}m{i}, {self.vector} {self.ones})\n"
                )
            else:
                lines.append(
                    f"  %{tag}0_{i} = load {self.vector}, ptr %{tag}r{i}, align {self.size}\n"
                )
        lines.append(self.transposed(tag))
        for i in range(self.side):
            lines.append(f"  store {self.vector} %{tag}{last}_{i}, ptr %{tag}s{i}, align 32\n")
        return "".join(lines)

    def write_out(self, tag, is_partial):
        """Slots to rows of memory."""
        lines, last = self.addresses(tag), len(self.rounds)
        for i in range(self.side):
            lines.append(f"  %{tag}0_{i} = load {self.vector}, ptr %{tag}s{i}, align 32\n")
        lines.append(self.transposed(tag))
        for i in range(self.side):
            value = f"{self.vector} %{tag}{last}_{i}, ptr %{tag}r{i}"
            if is_partial:
                lines.append(
                    self.is_kept(tag, i)
                    + f"  call void @llvm.masked.store.v{self.side}{self.kind}.p0("
                    f"{value}, i32 {self.size}, {self.mask} %{tag}m{i})\n"
                )
            else:
                lines.append(f"  store {value}, align {self.size}\n")
        return "".join(lines)

    def addresses(self, tag):
        """Where each row of the block and each slot begins."""
        lines = []
        for i in range(self.side):
            lines.append(f"  %{tag}o{i} = mul i64 %stride, {i}\n")
            lines.append(f"  %{tag}r{i} = getelementptr {self.kind}, ptr %row, i64 %{tag}o{i}\n")
            lines.append(f"  %{tag}s{i} = getelementptr i8, ptr %slot, i64 {64 * i}\n")
        return lines

    def is_kept(self, tag, i):
        """The columns that there are, if there is a row i."""
        return (
            f"  %{tag}h{i} = icmp sgt i64 %here, {i}\n"
            f"  %{tag}m{i} = select i1 %{tag}h{i}, {self.mask} %kept, {self.mask} zeroinitializer\n"
        )

    def transposed(self, tag):
        """%tag0_i, the rows, to the columns: in each round pairs exchange halves of their lanes."""
        lines = []
        for number, distance in enumerate(self.rounds):
            for i in range(self.side):
                low, high = i & ~distance, i | distance
                shift = i & distance
                taken = [
                    self.side + lane - distance + shift if lane & distance else lane + shift
                    for lane in range(self.side)
                ]
                lanes = ", ".join(f"i32 {lane}" for lane in taken)
                lines.append(
                    f"  %{tag}{number + 1}_{i} = shufflevector {self.vector} %{tag}{number}_{low}, "
                    f"{self.vector} %{tag}{number}_{high}, <{self.side} x i32> <{lanes}>\n"
                )
        return "".join(lines)
