"""Where simulated threads wait for each other: barriers of a block, shuffles of a warp.

    with_waits   a text with `cuda.syncthreads()` and shuffles as `yield`, also in the functions
                 that the kernel calls: those become `yield from`
    run_warp     the threads of one warp up to their next barrier; on the way lanes exchange values

A thread yields (word, line, operands...); a shuffle is sent the value that it gives.  What a card
does not define is an error: a lane of the mask that comes to another shuffle, to a barrier or to
its end, and a value of a lane that is not in the mask, or not in the block.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from tapejit.errors import LaunchError

WARP = 32
_SOURCE = {
    "shfl_sync": lambda lane, at: at % WARP,
    "shfl_xor_sync": lambda lane, at: lane ^ at,
    "shfl_up_sync": lambda lane, at: lane - at if lane >= at else lane,
    "shfl_down_sync": lambda lane, at: lane + at if lane + at < WARP else lane,
}
"""The lane that a lane has its value from."""
_BARRIER = "syncthreads"
_WAITS = {f"cuda.{word}" for word in (*_SOURCE, _BARRIER)}

# ------------------------------------------------------------------------------------ texts


def with_waits(source: str) -> ast.Module:
    """A text whose functions are generators where they wait."""
    tree = ast.parse(source)
    called: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            calls = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
            called[node.name] = {ast.unparse(call.func) for call in calls}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):  # another name
            called |= {ast.unparse(target): {node.value.id} for target in node.targets}
    waiting: set[str] = set()
    while found := {name for name in called.keys() - waiting if called[name] & (_WAITS | waiting)}:
        waiting |= found
    tree.body = [_Yields(waiting).visit(node) for node in tree.body]
    return ast.fix_missing_locations(tree)


class _Yields(ast.NodeTransformer):
    """Calls that wait, as `yield`; `waiting` are the functions that do."""

    def __init__(self, waiting: set[str]):
        self.waiting = waiting

    def visit_Call(self, node):
        self.generic_visit(node)
        name = ast.unparse(node.func)
        if name in _WAITS:
            event = [ast.Constant(name.removeprefix("cuda.")), ast.Constant(node.lineno)]
            wait = ast.Yield(ast.Tuple([*event, *node.args], ast.Load()))
        elif name in self.waiting:
            wait = ast.YieldFrom(node)
        else:
            return node
        return ast.copy_location(wait, node)


# ------------------------------------------------------------------------------------ a warp


def run_warp(threads: list[int], go_on: Callable) -> set[int | None]:
    """Let threads of a warp run to barriers, or to their ends; the lines of these, None for ends.

    go_on(thread, given)  runs one to its next wait, which it returns; None at its end
    """
    at = {thread: go_on(thread, None) for thread in threads}
    while any(map(_is_shuffle, at.values())):
        group = next(filter(None, (_complete(at, thread) for thread in threads)), None)
        if group is None:
            raise LaunchError(_scattered(at))
        given = {thread: _given(at, group, thread) for thread in group}
        for thread in group:
            at[thread] = go_on(thread, given[thread])
    return {event and event[1] for event in at.values()}


def _is_shuffle(event):
    return event is not None and event[0] != _BARRIER


def _complete(at, thread):
    """The threads that a thread shuffles with, if all of them are there."""
    event = at[thread]
    if not _is_shuffle(event):
        return None
    word, line, mask, _, _ = event
    group = [other for other in at if mask >> other % WARP & 1]
    together = all(_is_shuffle(at[other]) and at[other][:3] == event[:3] for other in group)
    if thread not in group:
        raise LaunchError(
            f"{word} in line {line}: thread {thread} is not in its own mask {mask:#x}"
        )
    return group if together else None


def _given(at, group, thread):
    """What a shuffle gives a thread."""
    word, line, mask, _, operand = at[thread]
    source = thread - thread % WARP + _SOURCE[word](thread % WARP, int(operand))
    if source not in group:
        raise LaunchError(
            f"{word} in line {line}: thread {thread} asks thread {source}, which is not in mask "
            f"{mask:#x}, or not in the block"
        )
    return at[source][3]


def _scattered(at):
    """What is said of lanes that do not meet."""
    word, line, mask, _, _ = next(filter(_is_shuffle, at.values()))
    others = sorted({
        "its end" if event is None else f"line {event[1]}"
        for thread, event in at.items()
        if mask >> thread % WARP & 1 and (event is None or event[1] != line)
    })  # fmt: skip
    return (
        f"{word} in line {line}: not all threads of mask {mask:#x} come to it, but to {others}\n"
        "  try  the same way for all of a warp, or a mask of those that come"
    )
