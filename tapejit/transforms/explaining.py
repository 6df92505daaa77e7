"""explain: what a transformed function has recorded, guards and compiled, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tapejit.errors import TraceError
from tapejit.plan import KernelStep
from tapejit.transforms.dispatch import Transform
from tapejit.transforms.nearest import describe_read, describe_signature
from tapejit.transforms.paths import INTERPRETED, Path, Paths


@dataclasses.dataclass(frozen=True)
class PathReport:
    """One recorded run that later calls may take."""

    signature: str
    """The arguments, with shapes and dtypes in place of values."""
    rows: int
    """Operations on its tape, forward and reverse."""
    kernels: int
    library_calls: int
    how: str
    """ "compiled", "interpreted" or "row by row"."""
    reads: tuple[str, ...]
    """What Python read of tensors, and where: a path is taken if it reads the same."""
    guards: tuple[str, ...]
    """What is compared outside the arguments."""

    def __str__(self):
        if self.how == "compiled":
            calls = _count(self.library_calls, "library call")
            text = f"{self.rows} rows, {_count(self.kernels, 'kernel')}, {calls}"
        else:
            text = f"{self.rows} rows, {'run ' * (self.how == 'row by row')}{self.how}"
        lines = [f"read {read}" for read in self.reads] + [f"guards {g}" for g in self.guards]
        return "\n".join([text, *(f"  {line}" for line in lines)])


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

    For each signature its paths; for each path the rows of its tape, its kernels and library
    calls, what Python read while it was recorded, and what it guards outside the arguments; then
    why each recording was made, by what differs from the nearest call that was known.

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
    return Explanation(
        name=tables[0].name if tables else getattr(function, "__qualname__", repr(function)),
        recorded=sum(table.recorded for table in tables),
        paths=tuple(report for table in tables for report in _reports(table)),
        reasons=tuple(why for table in tables for why in table.why),
        runs_eagerly=any(table.has_warned for table in tables),
    )


def _reports(paths: Paths) -> list[PathReport]:
    return [
        _report(describe_signature(signature), path)
        for signature, found in paths.by_signature.items()
        for path in found
    ]


def _report(signature: str, path: Path) -> PathReport:
    compiled = path.compiled
    how, steps = "row by row", ()
    if compiled is not None and compiled.source == INTERPRETED:
        how = "interpreted"
    elif compiled is not None and compiled.plan is not None:
        how, steps = "compiled", compiled.plan.steps
    kernels = sum(isinstance(step, KernelStep) for step in steps)
    return PathReport(
        signature=signature,
        rows=len(path.program.tape),
        kernels=kernels,
        library_calls=len(steps) - kernels,
        how=how,
        reads=tuple(
            f"{' '.join(str(value).split())}: {describe_read(site)}"
            for value, site in zip(path.guards, path.sites, strict=True)
        ),
        guards=tuple(path.reads.reads),
    )


def _count(n, noun):
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
