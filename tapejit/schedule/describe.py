"""A plan as text: buffers, steps, the kernels' nodes as expressions.  `describe` is the door."""

from __future__ import annotations

from tapejit.plan import KernelStep, LibraryStep, LoopKernel, LoopStep, Plan, RowStep, View
from tapejit.schedule.views import contiguous

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "mod": "%", "lt": "<", "le": "<=", "gt": ">",
    "ge": ">=", "eq": "==", "ne": "!=", "and": "&", "or": "|",
}  # fmt: skip


def describe(plan: Plan) -> str:
    """The whole plan, one line per buffer, step and node."""
    lines = []
    for number, buffer in enumerate(plan.buffers):
        extra = "" if buffer.number is None else f" {buffer.number}"
        lines.append(f"b{number} = {buffer.role}{extra}: {buffer.dtype.name}{list(buffer.shape)}")
    for step in plan.steps:
        if isinstance(step, RowStep):
            lines.append(f"rows  {step.units}, by {step.meta[0]}")
            for part in step.parts:
                lines += [f"  {line}" for line in _kernel_lines(plan, part)]
        elif isinstance(step, KernelStep):
            lines += _kernel_lines(plan, step)
        else:
            views = [_view(plan, view) for view in step.views]
            word, result = "library", f"b{step.buffer}" if isinstance(step, LibraryStep) else ""
            if isinstance(step, LoopStep):
                word, result = "loop", views.pop()
            attrs = "".join(f", {k}={v}" for k, v in step.kind.attributes().items())
            lines.append(f"{word}  {result} = {step.kind.op.name}({', '.join(views)}{attrs})")
    results = [
        f"{'' if result.is_owned else 'copy of '}{_view(plan, result.view)}"
        for result in plan.results
    ]
    return "\n".join([*lines, f"return {', '.join(results)}", ""])


def _kernel_lines(plan, step):
    kernel = step.kernel
    n = len(kernel.inputs)
    lines = [f"kernel  lengths {list(step.lengths)}"]
    for number, text in enumerate(node_texts(kernel)):
        node = kernel.nodes[number]
        if node.fn == "load":
            (k,) = node.operands
            text = f"load {_view(plan, step.views[k])} by {kernel.inputs[k].steps}"
        lines.append(f"    {number:4} {node.dtype:4} {text}")
    for output, view in zip(kernel.outputs, step.views[n:], strict=True):
        verb = output.reduce or "store"
        lines.append(f"    {verb} {output.node} -> {_view(plan, view)} by {output.operand.steps}")
    return lines


def node_texts(kernel: LoopKernel) -> list[str]:
    """Each node as an expression over the numbers of earlier ones."""
    lines = []
    for fn, _, operands in kernel.nodes:
        if fn in ("load", "literal", "index"):
            lines.append(f"{fn} {operands[0]}")
        elif fn in _INFIX:
            lines.append(f"%{operands[0]} {_INFIX[fn]} %{operands[1]}")
        else:
            lines.append(f"{fn}({', '.join(f'%{x}' for x in operands)})")
    return lines


def _view(plan: Plan, view: View) -> str:
    buffer = plan.buffers[view.buffer]
    if view.offset == 0 and view.strides == contiguous(buffer.shape):
        return f"b{view.buffer}"
    return f"b{view.buffer}[{view.offset}; {', '.join(map(str, view.strides))}]"
