"""What becomes of a function: its tape, the simplified tape, the schedule, the kernels.

`python -m tapejit show FILE:FUNCTION` prints `show_text`.  `load` finds the function and its
example arguments, `record` runs it once on them and gives its Program, `with_gradient` puts the
reverse sweep behind it, and `program_stages` prints what the compiler makes of a program.

Nothing is executed but the user's file and function, once: no kernel is compiled here.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tapejit import autodiff
from tapejit.codegen.cuda.kernels import launches_of
from tapejit.codegen.cuda.launches import Function
from tapejit.codegen.loop_text import emit_source
from tapejit.codegen.row_ir import emit_kernel
from tapejit.errors import KernelError, TapejitError, TraceError
from tapejit.plan import KernelStep, Plan, RowStep
from tapejit.pretty import graphviz, program_text
from tapejit.schedule.describe import describe
from tapejit.schedule.planner import schedule
from tapejit.simplify import simplify
from tapejit.tape import Program, Tape
from tapejit.tensor.recording import Recording
from tapejit.transforms import trees
from tapejit.transforms.trace import OutputRow, trace

CUDA_BLOCK = 256
"""Threads of a block in the CUDA kernels that are shown."""


class ShowError(TapejitError, ValueError):
    """The command line names a function or arguments that cannot be shown."""


# ---------------------------------------------------------------- finding the function


def load(target: str) -> tuple[Callable, object]:
    """The function that FILE:FUNCTION names, and its module.

    Errors  ShowError if the file or the function is not there
    """
    path_text, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():
        raise ShowError(f"show: FILE:FUNCTION is needed, got {target!r}")
    path = Path(path_text)
    if not path.is_file():
        raise ShowError(f"show: there is no file {path_text!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ShowError(f"show: {path_text!r} is no Python file; its name should end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(path.parent.resolve()))  # behind: its neighbours hide no library
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        names = [n for n, v in vars(module).items() if inspect.isfunction(v)]
        raise ShowError(
            f"show: {path.name} has no function {name!r}\n  it has  {', '.join(names) or 'none'}"
        )
    return function, module


def arguments(text: str | None, module: object) -> tuple:
    """The arguments that `--args` states, else the module's EXAMPLE_ARGS.

    Errors  ShowError if there are none, or the text is no Python expression
    """
    if text is None:
        found = getattr(module, "EXAMPLE_ARGS", None)
        if found is None:
            raise ShowError(
                "show: which arguments?\n"
                '  try  --args "np.linspace(0, 1, 10), 2.0", or EXAMPLE_ARGS = (...) in the file'
            )
        return found if isinstance(found, tuple) else (found,)
    try:
        return tuple(eval(f"({text},)", {"np": np}))
    except Exception as error:  # whatever the user's expression raises
        raise ShowError(f"show: --args {text!r}: {type(error).__name__}: {error}") from error


# ---------------------------------------------------------------- recording it


def record(function: Callable, args: Sequence) -> tuple[Program, list[int]]:
    """The program of one call, and the rows of the float arguments that it reads.

    A transform (`grad`, `jit`, ...) is recorded through: the program is that of the derivative.

    Errors  TraceError if no result depends on an argument
    """
    leaves: list = []
    structure = trees.flatten((tuple(args), {}), leaves)
    recorded = trace(function, structure, leaves)
    outputs = [int(row) for row in recorded.outputs if isinstance(row, OutputRow)]
    if not outputs:
        name = getattr(function, "__name__", "the function")
        raise TraceError(f"{name}: no result depends on an argument that is an array or a float")
    tape = _copy(recorded.recording)
    inputs = [r for r in range(len(tape)) if tape.kind(r).op.family == "input"]
    floats = [r for r in recorded.inputs if tape.kind(r).aval.dtype.is_inexact]
    return Program(tape, inputs, outputs), floats


def with_gradient(program: Program, wanted: Sequence[int]) -> Program:
    """The program with the gradient of its one scalar output behind its value.

    Errors  TraceError if the result is no float scalar
    """
    avals = [program.tape.kind(row).aval for row in program.outputs]
    if len(avals) != 1 or avals[0].size != 1 or not avals[0].dtype.is_inexact:
        raise TraceError(f"a gradient needs one float scalar as result, got {avals}")
    sweep = autodiff.reverse(program.tape, program.outputs, wanted, unit_seed=True)
    slopes = [row for row in sweep.results if row >= 0]
    return Program(sweep.tape, program.inputs, [*program.outputs, *slopes])


def _copy(trace: Recording) -> Tape:
    tape = Tape()
    tape.kinds, tape.left, tape.right = trace.kinds[:], trace.left[:], trace.right[:]
    tape.more = dict(trace.more)
    return tape


# ---------------------------------------------------------------- what the compiler makes of it


def program_stages(
    program: Program, ir: bool = False, cuda: bool = False
) -> Iterator[tuple[str, str]]:
    """(heading, text) of every stage from the recorded tape to the kernels; `cuda`: of a GPU."""
    yield f"tape, {len(program.tape)} rows", program_text(program)
    simple = simplify(program)
    yield f"simplified, {len(simple.tape)} rows", program_text(simple)
    try:
        plan = schedule(simple, device=cuda)
    except KernelError as error:
        yield "schedule", f"none, it runs row by row: {error}\n"
        return
    yield f"schedule, {len(plan.steps)} steps", describe(plan)
    if cuda:
        yield from _launches(plan)
        return
    kernels = dict.fromkeys(s.kernel for s in plan.steps if isinstance(s, KernelStep | RowStep))
    for number, kernel in enumerate(kernels):
        yield f"kernel k{number} as Python", emit_source(kernel, f"k{number}")
        if ir:
            yield f"kernel k{number} as LLVM", emit_kernel(kernel, f"k{number}").ir


def _launches(plan: Plan) -> Iterator[tuple[str, str]]:
    """The CUDA kernels of a plan, each once, and how often and how large they are launched."""
    found: dict[Function, list[str]] = {}
    for number, step in enumerate(plan.steps):
        if isinstance(step, KernelStep | RowStep):
            for function, grid, _ in launches_of(step, CUDA_BLOCK).launches:
                assert isinstance(function, Function), function
                found.setdefault(function, []).append(f"step {number}, {grid} blocks")
    for number, (function, launches) in enumerate(found.items()):
        yield f"CUDA kernel k{number}: {'; '.join(launches)}", function.source


def show_text(
    target: str,
    args: str | None = None,
    *,
    grad: bool = False,
    ir: bool = False,
    cuda: bool = False,
    dot: bool = False,
) -> str:
    """What `python -m tapejit show` prints."""
    function, module = load(target)
    values = arguments(args, module)
    try:
        inspect.signature(function).bind(*values)
    except TypeError as error:
        raise ShowError(f"show: {target}: {error}; {len(values)} were given") from None
    program, floats = record(function, values)
    if grad:
        program = with_gradient(program, floats)
    if dot:
        return graphviz(simplify(program))
    parts = [f"==== {heading}\n{text}" for heading, text in program_stages(program, ir, cuda)]
    return "\n".join(parts)
