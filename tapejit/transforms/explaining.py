"""explain: what a transformed function has recorded, guards and compiled, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tapejit.errors import TraceError
from tapejit.plan import KernelStep, LibraryStep, LoopKernel, RowKernel, RowStep
from tapejit.runtime.entry import Entries
from tapejit.runtime.kernels import cell_of
from tapejit.shapes import CPU, common_device
from tapejit.transforms.dispatch import Transform
from tapejit.transforms.nearest import describe_read, describe_signature
from tapejit.transforms.paths import INTERPRETED, Path, Paths


@dataclasses.dataclass(frozen=True)
class KernelReport:
    """One fused loop."""

    nodes: int
    """Loads, operations and constants of its body."""
    inputs: int
    outputs: int
    tier: int | None
    """How its code was compiled: 0 at once, without LLVM's passes; 1 after it had proved hot.
    None on a GPU."""

    def __str__(self):
        operands = f"{_count(self.inputs, 'input')}, {_count(self.outputs, 'output')}"
        tier = "" if self.tier is None else f", tier {self.tier}"
        return f"kernel of {_count(self.nodes, 'node')}, {operands}{tier}"


@dataclasses.dataclass(frozen=True)
class PathReport:
    """One recorded run that later calls may take."""

    signature: str
    """The arguments, with shapes and dtypes in place of values."""
    rows: int
    """Operations on its tape, forward and reverse."""
    kernels: tuple[KernelReport, ...]
    """The fused loops, in the order in which they run."""
    library_calls: int
    how: str
    """ "compiled", "interpreted", "row by row", or "sweeps" of a sparse derivative."""
    reads: tuple[str, ...]
    """What Python read of tensors, and where: a path is taken if it reads the same."""
    guards: tuple[str, ...]
    """What is compared outside the arguments."""
    calls: str
    """ "native": machine code reads the arguments and builds the answer; else why Python does."""
    sweeps: tuple[str, ...] = ()
    """Of a sparse derivative: its patterns and how many sweeps their colours need."""
    unfused: tuple[str, ...] = ()
    """The functions of `elementwise` that are library calls, and why."""

    def __str__(self):
        if self.how in ("compiled", "sweeps"):
            calls = _count(self.library_calls, "library call")
            text = f"{self.rows} rows, {_count(len(self.kernels), 'kernel')}, {calls}"
        else:
            text = f"{self.rows} rows, {'run ' * (self.how == 'row by row')}{self.how}"
        lines = [*self.sweeps, *(f"read {read}" for read in self.reads)]
        lines += [f"guards {g}" for g in self.guards]
        lines += map(str, self.kernels)
        lines += [f"not fused: {which}" for which in self.unfused]
        return "\n".join([f"{text}; calls: {self.calls}", *(f"  {line}" for line in lines)])


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What `explain` found; prints as text."""

    name: str
    recorded: int
    """How often the function was recorded."""
    paths: tuple[PathReport, ...]
    reasons: tuple[str, ...]
    """Why each recording was made (the last 100): what differs from the nearest known call."""
    runs_eagerly: bool
    """Whether calls were recorded without being kept."""

    def __str__(self):
        kept, recorded = _count(len(self.paths), "path"), _count(self.recorded, "time")
        lines = [f"{self.name}: {kept}, recorded {recorded}"]
        number, signature = 0, None
        for path in self.paths:
            if path.signature != signature:
                number, signature = 0, path.signature
                lines.append(f"  signature ({signature})")
            first, *rest = str(path).splitlines()
            lines += [f"    path {number}: {first}", *(f"    {line}" for line in rest)]
            number += 1
        lines += [f"  recorded because: {why}" for why in self.reasons]
        return "\n".join(lines)

    __repr__ = __str__


def explain(function: Callable) -> Explanation:
    """The paths of a function made by jit, grad, value_and_grad, jacobian or hessian.

    For each signature its paths; for each path the rows of its tape, who answers its calls, what
    Python read while it was recorded, what it guards outside the arguments, its kernels, and of a
    sparse derivative the pattern and the number of sweeps that its colours need; then why each
    recording was made, by what differs from the nearest call that was known.

    Errors  TraceError if the function is not the result of a transform

    >>> import numpy as np, tapejit as tj
    >>> square = tj.grad(lambda x: x * x)
    >>> square(3.0)
    6.0
    >>> square(np.ones(()))
    np.float64(2.0)
    >>> tj.explain(square).reasons
    ('first call', 'argument 0: float -> ndarray')
    """
    transforms = list(getattr(function, "transforms", {}).values())
    if isinstance(kept := getattr(function, "transform", None), Transform):
        transforms.append(kept)
    if not transforms and not hasattr(function, "transforms"):
        raise TraceError(
            f"explain: {function!r} is no transformed function\n  try  explain(tj.grad(f))"
        )
    tables = [transform.paths for transform in transforms]
    reports = [_reports(transform.paths, transform.entries) for transform in transforms]
    return Explanation(
        name=tables[0].name if tables else getattr(function, "__qualname__", repr(function)),
        recorded=sum(table.recorded for table in tables),
        paths=tuple(report for found in reports for report in found),
        reasons=tuple(why for table in tables for why in table.why),
        runs_eagerly=any(table.has_warned for table in tables),
    )


def _reports(paths: Paths, entries: Entries) -> list[PathReport]:
    return [
        _report(describe_signature(signature), path, _calls(path, entries))
        for signature, found in paths.by_signature.items()
        for path in found
    ]


def _report(signature: str, path: Path, calls: str) -> PathReport:
    compiled = path.compiled
    how, steps, sweeps = "row by row", (), ()
    if path.made.runner is not None:
        how, (sweeps, steps) = "sweeps", path.made.runner.report()
    elif compiled is not None and compiled.source == INTERPRETED:
        how = "interpreted"
    elif compiled is not None and compiled.plan is not None:
        how, steps = "compiled", compiled.plan.steps
    kernels = [step.kernel for step in steps if isinstance(step, KernelStep | RowStep)]
    calls_of = [step.kind for step in steps if isinstance(step, LibraryStep)]
    linked = [kind.attrs[0] for kind in calls_of if kind.op.name == "linked"]
    return PathReport(
        signature=signature,
        rows=len(path.program.tape),
        kernels=tuple([_kernel_report(kernel, _is_on_cpu(path)) for kernel in kernels]),
        library_calls=len(steps) - len(kernels),
        how=how,
        reads=tuple(
            f"{' '.join(str(value).split())}: {describe_read(site)}"
            for value, site in zip(path.guards, path.sites, strict=True)
        ),
        guards=tuple(path.reads.reads),
        calls=calls,
        sweeps=tuple(sweeps),
        unfused=tuple(dict.fromkeys(f"{function.name}, {function.unfused}" for function in linked)),
    )


def _is_on_cpu(path):
    program = path.program
    ends = (*program.inputs, *program.outputs)
    return common_device([program.tape.kind(row).aval for row in ends]) == CPU


def _kernel_report(kernel: LoopKernel | RowKernel, is_on_cpu: bool) -> KernelReport:
    cell = cell_of(kernel) if is_on_cpu else None
    tier = cell.tier if cell is not None else 0 if is_on_cpu else None
    loops = kernel.loops
    return KernelReport(
        nodes=sum([len(loop.nodes) for loop in loops]),
        inputs=sum([len(loop.inputs) for loop in loops]),
        outputs=sum([len(loop.outputs) for loop in loops]),
        tier=tier,
    )


def _calls(path: Path, entries: Entries) -> str:
    """Who answers calls that take this path."""
    if path in entries:
        return "native"
    if path.made.runner is not None:
        return "through Python, which makes SciPy's matrix"
    why = entries.refused.get(path)
    return "through Python, too few so far" if why is None else f"through Python, {why}"


def _count(n, noun):
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
