"""LLVM text for a kernel's operands in memory: its arguments, and one vector in or out.

Every function here gives text and knows nothing of nodes.  `k` numbers the operands, inputs
first.  Names that the loop provides:

    %state      on the stack: for every operand its base pointer and its stride (in elements), which
                the tail of a loop moves to a padded buffer; then the loop index of every axis
    %arg3 %s3_0 %n0   data pointer of operand 3, its stride along axis 0, length of axis 0

A bool is an i8 here, 0 or 1; loop_body.py turns it into an i1 and back.
"""

from __future__ import annotations

from tapejit.codegen.vector_ops import MEMORY, SIZE, memory_vector
from tapejit.plan import is_total

# ---------------------------------------------------------------- arguments


def operands_of(kernel):
    """Inputs, then outputs: the order of `args` and of the strides in `meta`."""
    return (*kernel.inputs, *(output.operand for output in kernel.outputs))


def read_arguments(kernel, numbers=None):
    """Text that reads lengths, and the strides and data pointers of all operands or `numbers`."""
    rank, operands, lines = kernel.rank, operands_of(kernel), []
    for axis in range(rank):
        lines.append(_element(f"%n{axis}", "i64", "%meta", axis))
    for k, operand in enumerate(operands):
        if numbers is not None and k not in numbers:
            continue
        lines.append(_element(f"%arg{k}", "ptr", "%args", k))
        for axis, step in enumerate(operand.steps):
            if step == "s":
                lines.append(_element(f"%s{k}_{axis}", "i64", "%meta", rank + k * rank + axis))
    totals = [j for j, output in enumerate(kernel.outputs) if is_total(output)]
    for n, j in enumerate(totals):
        if numbers is None or len(kernel.inputs) + j in numbers:
            lines.append(_element(f"%scratch{j}", "ptr", "%args", len(operands) + n))
    return "".join(lines)


def _element(name, kind, array, position):
    return (
        f"{name}m = getelementptr {kind}, ptr {array}, i64 {position}\n"
        f"{name} = load {kind}, ptr {name}m\n"
    )


# ---------------------------------------------------------------- slots of %state


def slot_of_axis(kernel, axis) -> int:
    """Where the loop index of an axis is, behind base and stride of each operand."""
    return 2 * len(operands_of(kernel)) + axis


def slot_of_count(kernel) -> int:
    """Where the number of elements along the inner axis is, for users' functions."""
    return slot_of_axis(kernel, kernel.rank)


def load_slot(result, kind, number):
    """Text that reads a slot.  Its address is made on the spot: one made in the entry block would
    be spilled there and reloaded here."""
    return (
        f"{result}a = getelementptr i64, ptr %state, i64 {number}\n"
        f"{result} = load {kind}, ptr {result}a\n"
    )


def store_slot(name, value, number):
    """Text that writes a slot; `value` with its type, `name` begins the names it needs."""
    return f"{name} = getelementptr i64, ptr %state, i64 {number}\nstore {value}, ptr {name}\n"


# ---------------------------------------------------------------- one vector


def splat_of(result, kind, scalar, lanes):
    """Text that puts a scalar, written with its type, into every lane."""
    return (
        f"{result}f = insertelement {kind} poison, {scalar}, i32 0\n"
        f"{result} = shufflevector {kind} {result}f, {kind} poison, "
        f"<{lanes} x i32> zeroinitializer\n"
    )


def read(result, k, operand, lanes, position):
    """Text that loads the elements from `position` on of operand `k`, in its memory type."""
    memory, kind = MEMORY[operand.dtype], memory_vector(operand.dtype, lanes)
    step = operand.steps[-1]
    if step == "s":
        return _read_strided(result, k, operand, lanes, position)
    if step == "0":
        return (
            f"{load_slot(f'{result}b', 'ptr', 2 * k)}{result}e = load {memory}, ptr {result}b\n"
            + splat_of(result, kind, f"{memory} {result}e", lanes)
        )
    return (
        f"{load_slot(f'{result}b', 'ptr', 2 * k)}"
        f"{result}p = getelementptr {memory}, ptr {result}b, i64 {position}\n"
        f"{result} = load {kind}, ptr {result}p, align {SIZE[operand.dtype]}\n"
    )


def write(result, k, operand, lanes, position, value):
    """Text that stores `value`, in memory type; `result` begins the names it needs."""
    memory, kind = MEMORY[operand.dtype], memory_vector(operand.dtype, lanes)
    step = operand.steps[-1]
    if step == "1":
        return (
            f"{load_slot(f'{result}b', 'ptr', 2 * k)}"
            f"{result}p = getelementptr {memory}, ptr {result}b, i64 {position}\n"
            f"store {kind} {value}, ptr {result}p, align {SIZE[operand.dtype]}\n"
        )
    if step == "0":  # one element, which the first lane always has
        return (
            f"{load_slot(f'{result}b', 'ptr', 2 * k)}"
            f"{result}e = extractelement {kind} {value}, i32 0\n"
            f"store {memory} {result}e, ptr {result}b\n"
        )
    lines = [_first_address(result, k, memory, position)]
    for lane in range(lanes):
        lines.append(_next_address(result, memory, lane))
        lines.append(f"{result}e{lane} = extractelement {kind} {value}, i32 {lane}\n")
        lines.append(f"store {memory} {result}e{lane}, ptr {result}p{lane}\n")
    return "".join(lines)


def _read_strided(result, k, operand, lanes, position):
    """Scalar loads and inserts: 1.05 ns an element, where a gather took 1.3 to 1.8."""
    memory, kind = MEMORY[operand.dtype], memory_vector(operand.dtype, lanes)
    lines, so_far = [_first_address(result, k, memory, position)], "poison"
    for lane in range(lanes):
        name = result if lane == lanes - 1 else f"{result}i{lane}"
        lines.append(_next_address(result, memory, lane))
        lines.append(f"{result}e{lane} = load {memory}, ptr {result}p{lane}\n")
        lines.append(
            f"{name} = insertelement {kind} {so_far}, {memory} {result}e{lane}, i32 {lane}\n"
        )
        so_far = name
    return "".join(lines)


def _first_address(result, k, memory, position):
    return (
        f"{load_slot(f'{result}b', 'ptr', 2 * k)}"
        f"{load_slot(f'{result}t', 'i64', 2 * k + 1)}"
        f"{result}o = mul i64 {position}, {result}t\n"
        f"{result}p0 = getelementptr {memory}, ptr {result}b, i64 {result}o\n"
    )


def _next_address(result, memory, lane):
    if lane == 0:
        return ""
    return f"{result}p{lane} = getelementptr {memory}, ptr {result}p{lane - 1}, i64 {result}t\n"
