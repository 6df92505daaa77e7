"""The register of operations as people read it: a table, one record, a page of documentation.

Nothing here knows an operation by name; everything is read from `registry.OPS`.  `table` and
`record` are what `python -m tapejit ops` prints, `page` is docs/ops.md (a test compares the file
with it, so a new operation cannot be forgotten there).
"""

from __future__ import annotations

import inspect
import textwrap

from tapejit import autodiff, dtypes
from tapejit.build import Builder
from tapejit.errors import TapejitError
from tapejit.pretty import tape_text
from tapejit.registry import OPS, Op
from tapejit.shapes import aval


class UnknownOperation(TapejitError, KeyError):
    """There is no operation of that name."""

    def __str__(self):
        return str(self.args[0])


def slope_kind(op: Op) -> str:
    """How an operation is differentiated, in a word or two."""
    ways = ("partials", "vjp", "jvp")
    stated = [way for way in ways if getattr(op, way) is not None]
    if op.decompose is not None and not stated:
        stated = ["decomposed"]
    if op.name == "where":
        stated = ["masks"]
    return ", ".join(stated) or "none"


def accuracy_of(op: Op) -> str:
    """Where the value comes from: which vector mathematics it calls."""
    steps = op.expression.steps if op.expression is not None else ()
    return ", ".join(dict.fromkeys(step.fn for step in steps if step.fn != "literal"))


# ---------------------------------------------------------------- text


def table() -> str:
    """All operations, one per line: name, family, slope, summary."""
    lines = [f"{'operation':<16} {'family':<12} {'slope':<10} summary"]
    for op in OPS.values():
        lines.append(f"{op.name:<16} {op.family:<12} {slope_kind(op):<10} {op.summary}")
    return "\n".join([*lines, f"{len(OPS)} operations", ""])


def record(name: str) -> str:
    """One operation's record, and for elementwise ones the tape of value and gradient.

    Errors  UnknownOperation
    """
    op = OPS.get(name)
    if op is None:
        near = [known for known in OPS if name in known or known in name]
        hint = f"\n  try  {', '.join(near)}" if near else "\n  try  python -m tapejit ops"
        raise UnknownOperation(f"ops: there is no operation {name!r}{hint}")
    operator = f"__{op.alias.operator}__" if op.alias.operator else ""
    fields = {
        "family": op.family,
        "summary": op.summary,
        "value": op.expression.text if op.expression is not None else "its own NumPy evaluator",
        "slope": slope_kind(op) + (", linear" if op.linear else ""),
        "attributes": ", ".join(op.attributes),
        "dtypes": op.rule,
        "torch": op.alias.torch,
        "numpy": op.alias.numpy,
        "operator": operator,
        "grad_fn": op.grad_name,
        "note": op.note,
        "source": op.source,
    }
    lines = [op.name, *(f"  {key:<11} {value}" for key, value in fields.items() if value)]
    if op.example:
        lines += ["", textwrap.indent(inspect.cleandoc(op.example), "  ")]
    return "\n".join([*lines, "", *_derivative(op)])


def _derivative(op):
    """The tape of an elementwise operation and its reverse sweep, on vectors."""
    if op.expression is None or op.partials is None:
        return []
    builder = Builder()
    inputs = [builder.input(aval((1000,), dtypes.float64)) for _ in op.expression.parameters]
    attrs = [2.0] * len(op.attributes)
    output = builder.emit(op, inputs, tuple(attrs))
    sweep = autodiff.reverse(builder.tape, [output.row], [x.row for x in inputs])
    results = ", ".join("0" if row < 0 else f"%{row}" for row in sweep.results)
    return [
        "  value, and cotangents of the operands",
        tape_text(sweep.tape) + f"return {results}\n",
    ]


# ---------------------------------------------------------------- documentation

_HEAD = """# Operations

Made by `python -m tapejit ops --write docs/ops.md` from the register; do not edit it by hand.
Errors in ulp are in [accuracy.md](accuracy.md), values and gradients at singular points in
[edges.md](edges.md), speeds in `tapejit/codegen/vectormath/__init__.py`.

*Slope* says how a derivative is stated: `partials` (one traced slope per operand, both modes
follow), `vjp` and `jvp` (traced rules of their own), `decomposed` (through simpler operations),
`none`."""


def page() -> str:
    """The text of docs/ops.md."""
    families: dict[str, list[Op]] = {}
    for op in OPS.values():
        families.setdefault(op.family, []).append(op)
    parts = [_HEAD]
    for family, ops in families.items():
        parts.append(
            f"\n## {family}\n\n| operation | what it gives | value | slope | PyTorch | NumPy |"
        )
        parts.append("|---|---|---|---|---|---|")
        parts += [_row(op) for op in ops]
    return "\n".join(parts) + "\n"


def _row(op):
    value = f"`{_escaped(op.expression.text)}`" if op.expression is not None else ""
    names = [f"`{name}`" if name else "" for name in (op.alias.torch, op.alias.numpy)]
    summary = _escaped(op.summary + (f" {op.note}" if op.note else ""))
    cells = [f"`{op.name}`", summary, value, slope_kind(op), *names]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _escaped(text):
    return text.replace("|", "\\|")
