"""Families of operations: what the members of each share is written here, once.

    elementwise   one value per element; operands broadcast; value text → NumPy, IR, Numba, CUDA
    reduction     fewer axes; `start`/`step` kernels for sum, prod, max, min
    movement      the same elements elsewhere: reshape, permute, slice, cat, ...
    contraction, indexing, creation: declared with `operation`, each with its own rules

A family function makes an `Op` record and registers it.  Dtype rules here see operands that the
recorder already brought to one dtype (`Op.rule`), so inference stays short.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit import dtypes, expressions, library
from tapejit.errors import AxisError, DeclarationError
from tapejit.registry import Alias, Loop, Op, Probe
from tapejit.shapes import Aval, aval, broadcast, reduced

# ---------------------------------------------------------------- elementwise

_PARAMETERS = ("c", "x", "u", "v", "w")  # the order of operands in every value text


def elementwise(
    name: str,
    *,
    summary: str,
    code: str,
    partials: Callable | None = None,
    rule: str = "promote",
    bools: str = "taken",
    alias: Alias = Alias(),
    grad_name: str = "",
    number_grad_names: tuple[str, str] = ("", ""),
    evaluate: Callable | None = None,
    decompose: Callable | None = None,
    attributes: tuple[str, ...] = (),
    linear: bool = False,
    complex: bool = False,
    gives_real: bool = False,
    probe: Probe = Probe(),
    note: str = "",
    source: str = "",
    example: str = "",
    version: int = 1,
) -> Op:
    """Declare an operation on each element; `code` is its value text.

    complex     whether it takes complex numbers, by the same text and slopes
    gives_real  whether the result is real then (abs)
    """
    names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    parameters = tuple(p for p in _PARAMETERS if p in names)
    expression = expressions.parse(code, parameters)
    infer = _infer_real if gives_real else _infer_elementwise
    if rule in ("compare", "predicate", "logical"):
        infer = _infer_predicate
    return Op(
        name=name,
        family="elementwise",
        summary=summary,
        infer=infer,
        evaluate=evaluate or _numpy_function(alias.numpy) or numpy_evaluator(expression),
        attributes=attributes,
        partials=partials,
        decompose=decompose,
        linear=linear,
        expression=expression,
        rule=rule,
        complex=complex,
        bools=bools,
        alias=alias,
        grad_name=grad_name,
        number_grad_names=number_grad_names,
        probe=probe,
        note=note,
        source=source,
        example=example,
        version=version,
    )


def _infer_elementwise(avals: tuple[Aval, ...], **attrs) -> Aval:
    if len(avals) == 1:
        return avals[0]
    return aval(broadcast("operands", *(a.shape for a in avals)), avals[-1].dtype)


def _infer_real(avals: tuple[Aval, ...], **attrs) -> Aval:
    result = _infer_elementwise(avals, **attrs)
    return aval(result.shape, result.dtype.to_real())


def _infer_predicate(avals: tuple[Aval, ...], **attrs) -> Aval:
    return aval(broadcast("operands", *(a.shape for a in avals)), dtypes.bool_)


def _numpy_function(name):
    function = getattr(np, name, None) if name else None
    return function if isinstance(function, np.ufunc) else None


_NUMPY_TEXT = {
    "add": "({} + {})", "sub": "({} - {})", "mul": "({} * {})", "div": "({} / {})",
    "mod": "np.remainder({}, {})", "floordiv": "np.floor_divide({}, {})", "neg": "(-{})",
    "lt": "({} < {})", "le": "({} <= {})", "gt": "({} > {})", "ge": "({} >= {})",
    "eq": "({} == {})", "ne": "({} != {})", "and": "np.logical_and({}, {})",
    "or": "np.logical_or({}, {})", "not": "np.logical_not({})", "select": "np.where({}, {}, {})",
    "round": "np.rint({})", "pow": "np.power({}, {})", "asin": "np.arcsin({})",
    "acos": "np.arccos({})", "atan": "np.arctan({})", "atan2": "np.arctan2({}, {})",
    "asinh": "np.arcsinh({})", "acosh": "np.arccosh({})", "atanh": "np.arctanh({})",
    "trigamma": "library.trigamma({})", "erfcinv": "library.erfcinv({})",
    "lgamma": "library.lgamma({})", "bessel_j0": "library.bessel_j({}, 0)",
    "bessel_j1": "library.bessel_j({}, 1)", "bessel_i0": "library.bessel_i({}, 0)",
    "bessel_i1": "library.bessel_i({}, 1)",
} | {
    ours: f"library.special({theirs!r})({{}})" for ours, theirs in {
        "erf": "erf", "erfc": "erfc", "erfcx": "erfcx", "erfinv": "erfinv",
        "digamma": "psi", "bessel_i0e": "i0e", "bessel_i1e": "i1e",

    }.items()
}  # fmt: skip


def numpy_evaluator(expression: expressions.Expression) -> Callable:
    """The value text as a NumPy function: what runs in eager mode where no ufunc exists.

    `where` gives an array and literals are Python numbers, so dtypes of the operands are kept.
    """
    lines = []
    for number, (fn, operands) in enumerate(expression.steps, len(expression.parameters)):
        if fn == "literal":
            text = repr(operands[0]) if np.isfinite(operands[0]) else f"float('{operands[0]}')"
        else:
            form = _NUMPY_TEXT.get(fn, f"np.{fn}({', '.join(['{}'] * len(operands))})")
            text = form.format(*(f"v{operand}" for operand in operands))
        lines.append(f"    v{number} = {text}")
    parameters = ", ".join(f"v{i}" for i in range(len(expression.parameters)))
    source = "\n".join([f"def evaluate({parameters}):", *lines, f"    return v{expression.result}"])
    scope: dict[str, Any] = {"np": np, "library": library}
    exec(source, scope)
    is_ufunc = len(expression.steps) == 1 and "library." not in source
    return scope["evaluate"] if is_ufunc else half_in_single(scope["evaluate"])


# ---------------------------------------------------------------- reduction


REDUCED = Probe(
    shapes=(((2, 3, 4),), ((3,),), ((),)),
    attrs=({"axes": (0,)}, {"axes": (0, 2)}, {"axes": (0, 1, 2)}),
)


def reduction(
    name: str,
    *,
    summary: str,
    evaluate: Callable,
    vjp: Callable | None = None,
    jvp: Callable | None = None,
    decompose: Callable | None = None,
    reduce: str | None = None,
    attributes: tuple[str, ...] = ("axes", "keepdim"),
    dtype: Callable[[dtypes.DType], dtypes.DType] = lambda d: d,
    needs_elements: bool = False,
    linear: bool = False,
    complex: bool = False,
    loop: Loop | None = None,
    rule: str = "keep",
    alias: Alias = Alias(),
    grad_name: str = "",
    probe: Probe = REDUCED,
    note: str = "",
    source: str = "",
    example: str = "",
    version: int = 1,
) -> Op:
    """Declare an operation that combines elements along `axes` (always a tuple).

    needs_elements  an axis of length 0 is an error, not a neutral element
    """

    return Op(
        name=name,
        family="reduction",
        summary=summary,
        infer=_reduction_rule(name, dtype, needs_elements),
        evaluate=half_in_single(evaluate),
        attributes=attributes,
        vjp=vjp,
        jvp=jvp,
        decompose=decompose,
        reduce=reduce,
        linear=linear,
        complex=complex,
        loop=loop,
        rule=rule,
        alias=alias,
        grad_name=grad_name,
        probe=probe,
        note=note,
        source=source,
        example=example,
        version=version,
    )


def _reduction_rule(name, dtype, needs_elements):
    def infer(avals, axes, keepdim, **attrs):
        (x,) = avals
        if needs_elements and 0 in (lengths := [x.shape[a] for a in axes]):
            raise AxisError(
                f"{name.removesuffix('_at')}(): Expected reduction dim {axes[lengths.index(0)]} to "
                "have non-zero size."
            )
        return aval(reduced(x.shape, axes, keepdim), dtype(x.dtype))

    return infer


def half_in_single(evaluate: Callable) -> Callable:
    """An evaluator that computes float16 in float32 and rounds once, as PyTorch does."""

    def run(x, *others, **attrs):
        if x.dtype != np.float16:
            return evaluate(x, *others, **attrs)
        single = [o.astype(np.float32) if o.dtype == np.float16 else o for o in (x, *others)]
        y = evaluate(*single, **attrs)
        return y.astype(np.float16) if y.dtype == np.float32 else y

    return run


def accumulated(dtype: dtypes.DType) -> dtypes.DType:
    """The dtype a sum or product has: integers and booleans are added up in int64."""
    return dtype if dtype.is_inexact else dtypes.int64


def accumulator(x) -> type | None:
    """The same for NumPy's `dtype=`: None where the array's own dtype is right."""
    return None if x.dtype.kind in "fc" else np.int64


# ---------------------------------------------------------------- the rest


MOVES = ("view", "scatter", "join", "copy", "cast", "indexing")
"""Families that take elements elsewhere, whatever they are: complex numbers too."""

SUMS = ("scan", "rows", "contraction")
"""Families that add up, as reductions do."""


def operation(
    name: str,
    family: str,
    *,
    summary: str,
    infer: Callable[..., Aval],
    evaluate: Callable,
    attributes: tuple[str, ...] = (),
    partials: Callable | None = None,
    vjp: Callable | None = None,
    jvp: Callable | None = None,
    decompose: Callable | None = None,
    linear: bool = False,
    complex: bool | None = None,
    loop: Loop | None = None,
    rule: str = "keep",
    alias: Alias = Alias(),
    grad_name: str = "",
    probe: Probe = Probe(),
    note: str = "",
    source: str = "",
    example: str = "",
    version: int = 1,
) -> Op:
    """Declare an operation whose rules are its own; `partials` if it works on each element.

    complex  whether it takes complex numbers; None: if its family is one of MOVES
    """
    if family in ("elementwise", "reduction"):
        raise DeclarationError(f"{name}: use the {family} family function")
    evaluate = half_in_single(evaluate) if family in SUMS else evaluate
    return Op(
        name=name, family=family, summary=summary, infer=infer, evaluate=evaluate,
        attributes=attributes, partials=partials, vjp=vjp, jvp=jvp, decompose=decompose,
        linear=linear, complex=family in MOVES if complex is None else complex, loop=loop,
        rule=rule, alias=alias, grad_name=grad_name, probe=probe, note=note, source=source,
        example=example, version=version,
    )  # fmt: skip


def broadcast_alike(name: str) -> Callable[..., Aval]:
    """The shape rule of a library call on each element: operands broadcast, their dtype kept."""

    def infer(avals, **attrs):
        return aval(broadcast(name, *(a.shape for a in avals)), avals[-1].dtype)

    return infer
