"""explain: what a transformed function has recorded, guards and compiled, and why."""

from __future__ import annotations

from collections.abc import Callable

from tapejit.errors import TraceError
from tapejit.plan import KernelStep
from tapejit.tensor.recording import describe_site
from tapejit.transforms.dispatch import Transform
from tapejit.transforms.paths import INTERPRETED, Path, Paths, describe_signature


def explain(function: Callable) -> str:
    """The paths of a function made by jit, grad, value_and_grad, jacobian or hessian, as text.

    For each signature its paths; for each path the rows of its tape, its kernels and library
    calls, what Python read while it was recorded, and what it guards outside the arguments; then
    why each recording was made, by the first thing that differed.

    Errors  TraceError if the function is not the result of a transform

    >>> import tapejit as tj
    >>> square = tj.grad(lambda x: x * x)
    >>> square(3.0)
    6.0
    >>> print(tj.explain(square).splitlines()[0])
    <lambda>: 1 path, recorded 1 time
    """
    transforms = list(getattr(function, "transforms", {}).values())
    if isinstance(kept := getattr(function, "transform", None), Transform):
        transforms.append(kept)
    if not transforms and not hasattr(function, "transforms"):
        raise TraceError(
            f"explain: {function!r} is no transformed function\n  try  explain(tj.grad(f))"
        )
    return "\n".join(_explain_paths(transform.paths) for transform in transforms)


def _explain_paths(paths: Paths) -> str:
    name = getattr(paths.function, "__qualname__", repr(paths.function))
    kept = sum(len(found) for found in paths.by_signature.values())
    lines = [f"{name}: {_count(kept, 'path')}, recorded {_count(paths.recorded, 'time')}"]
    for signature, found in paths.by_signature.items():
        lines.append(f"  signature ({describe_signature(signature)})")
        for number, path in enumerate(found):
            lines += [f"    path {number}: {_summary(path)}", *_guards(path)]
    lines += [f"  recorded because: {why}" for why in paths.why]
    return "\n".join(lines)


def _count(n, noun):
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _summary(path: Path) -> str:
    rows = len(path.program.tape)
    if path.compiled is not None and path.compiled.source == INTERPRETED:
        return f"{rows} rows, interpreted"
    if path.compiled is None or path.compiled.plan is None:
        return f"{rows} rows, run row by row"
    steps = path.compiled.plan.steps
    kernels = sum(isinstance(step, KernelStep) for step in steps)
    return (
        f"{rows} rows, {_count(kernels, 'kernel')}, {_count(len(steps) - kernels, 'library call')}"
    )


def _guards(path: Path) -> list[str]:
    lines = [
        f"      read {value} at {describe_site(site)}"
        for value, site in zip(path.guards, path.sites, strict=True)
    ]
    return lines + [f"      guards {label}" for label in path.reads.reads]
