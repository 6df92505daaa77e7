"""Kernel steps of a plan run on a simulated GPU; what is no kernel is done by NumPy.

`run_plan(plan, inputs, block)` gives the results.  Memory begins as NaN and -1, and every address
is checked against the buffer that it belongs to.  Start there.
"""

from __future__ import annotations

import math
import re

import numpy as np
from cuda_machines import kernel_of

from tapejit.codegen.cuda.kernels import launches_of
from tapejit.codegen.cuda.launches import Argument, Function, Launches
from tapejit.plan import KernelStep, LibraryStep, LoopStep, Plan, RowStep, View
from tapejit.runtime.cuda.simulator.kernels import DTYPES, Pointer


def run_plan(plan: Plan, inputs: list[np.ndarray], block: int = 8) -> list[np.ndarray]:
    """The results of a plan."""
    memory = [memory_of(buffer, inputs) for buffer in plan.buffers]
    for step in plan.steps:
        if isinstance(step, KernelStep | RowStep):
            run_launches(launches_of(step, block), step.views, memory)
        else:
            _evaluate(step, memory)
    return [array_of(result.view, memory).copy() for result in plan.results]


def run_launches(launches: Launches, views: tuple[View, ...], memory: list[np.ndarray]) -> None:
    """Run what a step is."""
    scratch = [_poisoned(n, DTYPES[dtype]) for dtype, n in launches.scratch]
    for function, grid, arguments in launches.launches:
        given = zip(function.parameters, arguments, strict=True)
        kernel_of(function).run(grid, [_argument(*one, views, memory, scratch) for one in given])


def _argument(parameter, argument, views, memory, scratch):
    if not isinstance(argument, Argument):
        return argument
    dtype = DTYPES[parameter[:-1]]
    if argument.role == "scratch":
        return Pointer(argument.role, scratch[argument.number])
    view = views[argument.number]
    assert memory[view.buffer].dtype.itemsize == np.dtype(dtype).itemsize, (argument, parameter)
    return Pointer(f"view {argument.number}", memory[view.buffer].view(dtype), view.offset)


def array_of(view: View, memory: list[np.ndarray]) -> np.ndarray:
    """The elements of a view."""
    base = memory[view.buffer]
    strides = [stride * base.itemsize for stride in view.strides]
    return np.lib.stride_tricks.as_strided(base[view.offset :], view.shape, strides)


def functions_of(plan: Plan, block: int = 256) -> list[Function]:
    """The functions that a plan launches, each once."""
    steps = [step for step in plan.steps if isinstance(step, KernelStep | RowStep)]
    launches = [launch for step in steps for launch in launches_of(step, block).launches]
    return list(dict.fromkeys(launch.function for launch in launches))


def reads_of_inputs(plan: Plan, block: int = 256) -> dict[int, int]:
    """How often the texts of a plan's launches read from each input."""
    found: dict[int, int] = {}
    for step in plan.steps:
        if not isinstance(step, KernelStep | RowStep):
            continue
        for function, _, arguments in launches_of(step, block).launches:
            names = re.search(r"def kernel\((.*)\)", function.source)
            assert names is not None
            for name, argument in zip(names[1].split(", "), arguments, strict=True):
                if isinstance(argument, Argument) and argument.role == "view":
                    buffer = plan.buffers[step.views[argument.number].buffer]
                    if isinstance(buffer.number, int) and buffer.role == "input":
                        reads = function.source.count(f"{name}[")
                        found[buffer.number] = found.get(buffer.number, 0) + reads
    return found


def memory_of(buffer, inputs) -> np.ndarray:
    """The elements of a plan's buffer before it runs."""
    if buffer.role == "input":
        return np.array(inputs[buffer.number], buffer.dtype.dtype).reshape(-1)
    if buffer.role == "constant":
        return np.full(math.prod(buffer.shape), buffer.number, buffer.dtype.dtype)
    return _poisoned(math.prod(buffer.shape), buffer.dtype.dtype)


def _poisoned(n, dtype):
    size = np.dtype(dtype).itemsize
    return np.full(n * size, 0xFF if dtype != np.bool_ else 1, np.uint8).view(dtype)


def _evaluate(step: LoopStep | LibraryStep, memory):
    is_loop = isinstance(step, LoopStep)
    operands = [array_of(view, memory) for view in (step.views[:-1] if is_loop else step.views)]
    with np.errstate(all="ignore"):
        value = step.kind.op.evaluate(*operands, **step.kind.attributes())
    if is_loop:
        array_of(step.views[-1], memory)[...] = value
    else:
        memory[step.buffer] = np.array(value).reshape(-1)
