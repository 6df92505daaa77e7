"""LLVM text for reductions: trees over lanes, and the functions NAME_start and NAME_finish.

The order of every sum is fixed here and depends on sizes only, never on threads:

    lanes of one unit    halving tree: lane i meets lane i + lanes/2            `tree`
    partials of units    unit i into accumulator i mod 8, then the same tree    `finish`
    memory               units in order, onto the neutral element               `start`
"""

from __future__ import annotations

from tapejit.codegen.loop_memory import read_arguments
from tapejit.codegen.vector_ops import MEMORY, combine, memory_vector, neutral
from tapejit.plan import BLOCK, is_kept_reduction, is_total

# ---------------------------------------------------------------- combining


def join(reduce, dtype, lanes, declarations):
    """The text {0} = {1} joined with {2}; notes in `declarations` what it calls."""
    text, needed = combine(reduce, dtype, lanes)
    declarations.update(dict.fromkeys(needed))
    return text


def tree(value, reduce, dtype, lanes, declarations):
    """Text that reduces a vector to one scalar by halving, and the scalar's name."""
    lines, prefix = [], value
    while lanes > 2:
        half, kind = lanes // 2, memory_vector(dtype, lanes)
        for tag, first in (("lo", 0), ("hi", half)):
            picks = ", ".join(f"i32 {first + lane}" for lane in range(half))
            lines.append(
                f"{prefix}_{tag}{half} = shufflevector {kind} {value}, {kind} poison, "
                f"<{half} x i32> <{picks}>\n"
            )
        text = join(reduce, dtype, half, declarations)
        lines.append(text.format(f"{prefix}_{half}", f"{prefix}_lo{half}", f"{prefix}_hi{half}"))
        value, lanes = f"{prefix}_{half}", half
    kind = memory_vector(dtype, 2)
    for lane in range(2):
        lines.append(f"{prefix}_e{lane} = extractelement {kind} {value}, i32 {lane}\n")
    text = join(reduce, dtype, 0, declarations)
    lines.append(text.format(f"{prefix}_all", f"{prefix}_e0", f"{prefix}_e1"))
    return "".join(lines), f"{prefix}_all"


# ---------------------------------------------------------------- NAME_start


def start(kernel, name):
    """The neutral element over the kept axes of every reduction that accumulates in memory."""
    lines = [f"define void @{name}_start(ptr %args, ptr %meta) nounwind {{\nentry:\n"]
    kept = [j for j, output in enumerate(kernel.outputs) if is_kept_reduction(output)]
    lines.append(read_arguments(kernel, [len(kernel.inputs) + j for j in kept]))
    before = "entry"
    for j in kept:
        lines.append(_fill(j, len(kernel.inputs) + j, kernel.outputs[j], before))
        before = f"filled{j}"
    return "".join([*lines, "ret void\n}\n"])


def _fill(j, k, output, before):
    """A loop over the flattened kept axes of output `j`, which is operand `k`."""
    operand, lines, total = output.operand, [], "1"
    axes = [axis for axis, step in enumerate(operand.steps) if step != "0"]
    for axis in axes:
        lines.append(f"%size{j}_{axis} = mul i64 {total}, %n{axis}\n")
        total = f"%size{j}_{axis}"
    lines.append(
        f"br label %fill{j}\nfill{j}:\n"
        f"%e{j} = phi i64 [ 0, %{before} ], [ %e{j}n, %set{j} ]\n"
        f"%e{j}m = icmp slt i64 %e{j}, {total}\n"
        f"br i1 %e{j}m, label %set{j}, label %filled{j}\nset{j}:\n"
    )
    left, place, memory = f"%e{j}", f"%arg{k}", MEMORY[operand.dtype]
    for axis in reversed(axes):
        index = f"%y{j}_{axis}"
        stride = f"%s{k}_{axis}" if operand.steps[axis] == "s" else "1"
        lines.append(
            f"{index} = urem i64 {left}, %n{axis}\n"
            f"{index}q = udiv i64 {left}, %n{axis}\n"
            f"{index}o = mul i64 {index}, {stride}\n"
            f"{index}p = getelementptr {memory}, ptr {place}, i64 {index}o\n"
        )
        left, place = f"{index}q", f"{index}p"
    lines.append(
        f"store {memory} {neutral(output.reduce, operand.dtype)}, ptr {place}\n"
        f"%e{j}n = add i64 %e{j}, 1\nbr label %fill{j}\nfilled{j}:\n"
    )
    return "".join(lines)


# ---------------------------------------------------------------- NAME_finish


def finish(kernel, name, call_support):
    """Partial results of the units, joined into the output element of every total reduction."""
    lines = [f"define void @{name}_finish(ptr %args, ptr %meta) nounwind {{\nentry:\n"]
    totals = [j for j, output in enumerate(kernel.outputs) if is_total(output)]
    lines.append(read_arguments(kernel, [len(kernel.inputs) + j for j in totals]))
    lines.append(_unit_count(kernel.rank))
    for j in totals:
        output = kernel.outputs[j]
        total = f"tj_total_{output.reduce}_{output.operand.dtype}"
        call_support(total, "void", "ptr, i64, ptr")
        lines.append(
            f"call void @{total}(ptr %scratch{j}, i64 %units, ptr %arg{len(kernel.inputs) + j})\n"
        )
    return "".join([*lines, "ret void\n}\n"])


def _unit_count(rank):
    if rank == 1:
        return f"%n0up = add i64 %n0, {BLOCK - 1}\n%units = sdiv i64 %n0up, {BLOCK}\n"
    lines, total = [], "1"
    for axis in range(rank - 1):
        lines.append(f"%count{axis} = mul i64 {total}, %n{axis}\n")
        total = f"%count{axis}"
    return "".join([*lines, f"%units = add i64 {total}, 0\n"])


# ---------------------------------------------------------------- the library


def tree_name(reduce, dtype, lanes):
    """The function of the library that reduces a vector in memory to one scalar."""
    return f"tj_tree_{reduce}_{dtype}x{lanes}"


def emit_reduction(name: str) -> str:
    """A function of the library, as a module of its own: the part of a reduction that differs in
    nothing from kernel to kernel, compiled once on a machine.

        tj_tree_sum_f64x8(ptr) -> double                the lanes of one unit
        tj_total_sum_f64(ptr scratch, i64 units, ptr)   the partials of all units
    """
    _, what, reduce, tail = name.split("_")
    dtype, _, lanes = tail.partition("x")
    declarations: dict[str, None] = {}
    if what == "total":
        function = _gather(name, reduce, dtype, declarations)
    else:
        memory, kind = MEMORY[dtype], memory_vector(dtype, int(lanes))
        text, result = tree("%x", reduce, dtype, int(lanes), declarations)
        function = (
            f"define {memory} @{name}(ptr %at) nounwind {{\n%x = load {kind}, ptr %at, align 64\n"
            f"{text}ret {memory} {result}\n}}\n"
        )
    return "".join([*declarations, function])


def _gather(name, reduce, dtype, declarations):
    """Eight accumulators in turn: their additions overlap, and the error is an eighth."""
    memory, kind = MEMORY[dtype], memory_vector(dtype, 8)
    text, result = tree("%lanes", reduce, dtype, 8, declarations)
    one = join(reduce, dtype, 0, declarations).format("%c", "%a", "%x")
    return (
        f"define void @{name}(ptr %scratch, i64 %units, ptr %to) nounwind {{\nentry:\n"
        f"%sum = alloca {kind}, align 64\n"
        f"store {kind} splat ({memory} {neutral(reduce, dtype)}), ptr %sum, align 64\n"
        "br label %gather\ngather:\n"
        "%e = phi i64 [ 0, %entry ], [ %en, %take ]\n"
        "%em = icmp slt i64 %e, %units\n"
        "br i1 %em, label %take, label %gathered\ntake:\n"
        f"%p = getelementptr {memory}, ptr %scratch, i64 %e\n"
        f"%x = load {memory}, ptr %p\n"
        "%lane = and i64 %e, 7\n"
        f"%q = getelementptr {memory}, ptr %sum, i64 %lane\n"
        f"%a = load {memory}, ptr %q\n"
        f"{one}"
        f"store {memory} %c, ptr %q\n"
        "%en = add i64 %e, 1\nbr label %gather\ngathered:\n"
        f"%lanes = load {kind}, ptr %sum, align 64\n"
        f"{text}store {memory} {result}, ptr %to\nret void\n}}\n"
    )
