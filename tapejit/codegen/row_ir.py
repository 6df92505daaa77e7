"""A row kernel as LLVM IR: its loops as loop_ir.py prints them, and who gives them their turns.

    NAME_0, NAME_1...     the loops, each a function of the machine's interface
    NAME                  for every few units: each loop over these, in order
    NAME_start, _finish   those of the loops, one after the other

A turn is as many rows as stay in cache, so a call of a loop (about 15 ns) is nothing beside it.

`emit_kernel` is the door for kernels of both kinds.
"""

from __future__ import annotations

from tapejit.codegen.loop_ir import LoopText, emit_loop
from tapejit.codegen.loop_memory import operands_of
from tapejit.plan import LoopKernel, RowKernel, is_total


def emit_kernel(kernel: LoopKernel | RowKernel, name: str) -> LoopText:
    """Print a kernel as an LLVM module whose functions are called `name`…

    Errors  KernelError if a node's function does not exist for its dtype
    """
    if isinstance(kernel, LoopKernel):
        return emit_loop(kernel, name)
    texts = [emit_loop(loop, f"{name}_{i}") for i, loop in enumerate(kernel.loops)]
    declarations: dict[str, None] = {}
    bodies = []
    for text in texts:
        head, body = split_declarations(text.ir)
        declarations.update(dict.fromkeys(head))
        bodies.append(body.replace("define void", "define internal void"))
    places = parameter_places(kernel)
    functions, exports = [_turns(name, places)], [name]
    for what in ("start", "finish"):
        called = [i for i, text in enumerate(texts) if f"{name}_{i}_{what}" in text.exports]
        if called:
            functions.append(_all(name, what, called, places))
            exports.append(f"{name}_{what}")
    return LoopText(
        "".join([*declarations, *bodies, *functions]),
        tuple(exports),
        tuple(dict.fromkeys(call for text in texts for call in text.imports)),
        tuple(dict.fromkeys(called for text in texts for called in text.support)),
    )


def split_declarations(ir: str) -> tuple[list[str], str]:
    """The declarations of a printed module, one line each, and the rest."""
    position, head = 0, []
    while ir.startswith("declare", position):
        end = ir.index("\n", position) + 1
        head.append(ir[position:end])
        position = end
    return head, ir[position:]


def parameter_places(kernel: RowKernel) -> list[tuple[int, int]]:
    """Where the args and the meta of each loop begin in those of the row kernel."""
    places, args, meta = [], 0, 1
    for loop in kernel.loops:
        places.append((args, meta))
        n = len(operands_of(loop))
        args += n + sum(map(is_total, loop.outputs))
        meta += loop.rank * (1 + n)
    return places


def _parameters(i, place):
    """Text that points %args{i} and %meta{i} at those of loop `i`."""
    args, meta = place
    return (
        f"%args{i} = getelementptr ptr, ptr %args, i64 {args}\n"
        f"%meta{i} = getelementptr i64, ptr %meta, i64 {meta}\n"
    )


def _turns(name, places):
    """NAME: turns of `meta[0]` units."""
    calls = "".join(
        f"call void @{name}_{i}(ptr %args{i}, ptr %meta{i}, i64 %u, i64 %stop)\n"
        for i in range(len(places))
    )
    return (
        f"define void @{name}(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind {{\nentry:\n"
        f"%turn = load i64, ptr %meta\n{''.join(map(_parameters, range(len(places)), places))}"
        "br label %turns\nturns:\n"
        "%u = phi i64 [ %begin, %entry ], [ %stop, %take ]\n"
        "%more = icmp slt i64 %u, %end\n"
        "br i1 %more, label %take, label %exit\ntake:\n"
        "%next = add i64 %u, %turn\n"
        "%is_whole = icmp slt i64 %next, %end\n"
        "%stop = select i1 %is_whole, i64 %next, i64 %end\n"
        f"{calls}br label %turns\nexit:\nret void\n}}\n"
    )


def _all(name, what, called, places):
    """NAME_start or NAME_finish: those of the loops."""
    return (
        f"define void @{name}_{what}(ptr %args, ptr %meta) nounwind {{\n"
        + "".join(
            f"{_parameters(i, places[i])}call void @{name}_{i}_{what}(ptr %args{i}, ptr %meta{i})\n"
            for i in called
        )
        + "ret void\n}\n"
    )
