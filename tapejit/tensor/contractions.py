"""einsum and tensordot: sums of products over named axes, as permutes, matrix products and sums.

Axes of operands carry one-letter names.  Two operands are contracted at a time (`_contract`): an
axis that only one of them has is summed first, axes that both have are batch axes where the result
needs them and inner ones else.  Products without an inner axis, and those that leave nothing but
batch axes, are elementwise rows, which fuse; all others are one matrix product.  NumPy's
einsum_path chooses the order of three operands and more.

Start at `einsum`.  An axis of length 1 that another operand has longer is dropped (`_squeezed`),
which is all there is to broadcasting.
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapejit.errors import ArgumentError, ShapeError
from tapejit.shapes import normalize_axis
from tapejit.tensor.core import Tensor, tensor_of
from tapejit.tensor.diagonals import diagonal
from tapejit.tensor.front import FOR_NUMPY, export
from tapejit.tensor.products import matmul
from tapejit.tensor.shaping import permute, reshape

_LETTERS = string.ascii_uppercase + string.ascii_lowercase
_HIDDEN = 0xE000
"""Axes under an ellipsis are named by private characters, counted from the last."""


@export("einsum", method=False)
def einsum(equation, *operands) -> Tensor:
    """Sum of products over named axes, as np.einsum: any expression, also as lists of numbers.

    Several operands are contracted two at a time, in the order that costs least.

    >>> import tapejit as tj
    >>> a, b = tj.arange(4).reshape(2, 2), tj.tensor([10, 100])
    >>> tj.einsum("ij,j->i", a, b)
    tensor([100, 320])
    >>> tj.einsum("ii", a)  # the trace
    tensor(3)
    >>> tj.einsum("...ij,...jk", tj.ones(5, 2, 3), tj.ones(3, 4)).shape
    torch.Size([5, 2, 4])
    >>> tj.einsum(a, [0, 1], b, [1], [0])
    tensor([100, 320])
    """
    if not isinstance(equation, str):
        equation, operands = _from_lists((equation, *operands))
    elif len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    tensors = [tensor_of(x) for x in operands]
    terms, output = _read(equation, [x._aval.ndim for x in tensors])
    pairs = [_on_diagonals(tensors[i], term, i) for i, term in enumerate(terms)]
    lengths = _lengths(pairs)
    pairs = [_squeezed(x, term, lengths) for x, term in pairs]
    for places in _order(pairs, output):
        chosen = [pairs.pop(i) for i in sorted(places, reverse=True)][::-1]
        first, *others = chosen
        for number, other in enumerate(others, 1):
            later = "".join(term for _, term in (*chosen[number + 1 :], *pairs))
            first = _contract(*first, *other, output + later)
        pairs.append(first)
    ((x, term),) = pairs
    x, term = _summed(x, term, output)
    return permute(x, tuple(map(term.index, output))) if term != output else x


def _numpy_einsum(*operands, out=None, optimize=True, **options):
    if options:
        raise ArgumentError(f"np.einsum of tensors takes no {', '.join(options)}")
    result = einsum(*operands)
    return result if out is None else out.copy_(result)


FOR_NUMPY[np.einsum] = _numpy_einsum

# ---------------------------------------------------------------- reading the expression


def _from_lists(items):
    """(x, [0, 1], y, [1, 2], [0, 2]) as an equation and its operands."""
    operands, lists = items[: len(items) // 2 * 2 : 2], items[1::2]
    equation = ",".join(map(_from_list, lists))
    if len(items) % 2:
        equation += "->" + _from_list(items[-1])
    return equation, operands


def _from_list(numbers):
    if not isinstance(numbers, list | tuple) or not all(
        n is Ellipsis or 0 <= n < len(_LETTERS) for n in numbers
    ):
        raise ArgumentError("einsum(): expected subscripts to be integers within the range [0, 52)")
    return "".join("..." if n is Ellipsis else _LETTERS[n] for n in numbers)


def _read(equation: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """One name per axis of each operand, and the axes of the result."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    for place, letter in enumerate(inputs.replace("...", "")):
        if letter not in _LETTERS and letter != ",":
            raise ArgumentError(
                f"einsum(): invalid subscript given at index {place} in the equation string, "
                "subscripts must be in [a-zA-Z]"
            )
    if len(terms) != len(ndims):
        raise ArgumentError(
            f"einsum(): {'fewer' if len(terms) > len(ndims) else 'more'} operands were provided "
            "than specified in the equation"
        )
    named = [_named(term, ndim, i) for i, (term, ndim) in enumerate(zip(terms, ndims, strict=True))]
    hidden = "".join(sorted({c for term in named for c in term if ord(c) >= _HIDDEN}, reverse=True))
    if arrow:
        output = output.replace("...", hidden)
    else:
        letters = "".join(terms)
        once = {c for c in letters if letters.count(c) == 1 and c != "."}
        output = hidden + "".join(sorted(once))
    for c in output:
        if output.count(c) > 1:
            raise ArgumentError(
                f"einsum(): output subscript {c} appears more than once in the output"
            )
        if not any(c in term for term in named):
            raise ArgumentError(
                f"einsum(): output subscript {c} does not appear in the equation for any input "
                "operand"
            )
    return named, output


def _named(term, ndim, place):
    """The term with a private name for each axis under its ellipsis."""
    letters = term.replace("...", "")
    n_hidden = ndim - len(letters)
    if n_hidden < 0 or (n_hidden and "..." not in term):
        without = "" if "..." in term else " and no ellipsis was given"
        raise ShapeError(
            f"einsum(): the number of subscripts in the equation ({len(letters)}) does not match "
            f"the number of dimensions ({ndim}) for operand {place}{without}"
        )
    return term.replace("...", "".join(chr(_HIDDEN + i) for i in reversed(range(n_hidden))))


# ---------------------------------------------------------------- one operand


def _on_diagonals(x, term, place):
    """Repeated names are diagonals; the operand, and its term with each name once."""
    while len(set(term)) < len(term):
        letter = next(c for c in term if term.count(c) > 1)
        first = term.index(letter)
        second = term.index(letter, first + 1)
        n, m = x._aval.shape[first], x._aval.shape[second]
        if n != m:
            raise ShapeError(
                f"einsum(): subscript {letter} is repeated for operand {place} but the sizes "
                f"don't match, {m} != {n}"
            )
        x = diagonal(x, 0, first, second)
        term = "".join(c for i, c in enumerate(term) if i not in (first, second)) + letter
    return x, term


def _lengths(pairs):
    lengths: dict[str, int] = {}
    for place, (x, term) in enumerate(pairs):
        for c, n in zip(term, x._aval.shape, strict=True):
            known = lengths.setdefault(c, n)
            if known == 1:
                lengths[c] = n
            elif n not in (1, known):
                raise ShapeError(
                    f"einsum(): subscript {c} has size {n} for operand {place} which does not "
                    f"broadcast with previously seen size {known}"
                )
    return lengths


def _squeezed(x, term, lengths):
    """Without the axes of length 1 that are longer elsewhere."""
    kept = [i for i, c in enumerate(term) if x._aval.shape[i] == lengths[c]]
    if len(kept) == len(term):
        return x, term
    return reshape(x, tuple(x._aval.shape[i] for i in kept)), "".join(term[i] for i in kept)


def _summed(x, term, needed):
    """Summed over the axes that nobody needs."""
    axes = tuple(i for i, c in enumerate(term) if c not in needed)
    if not axes:
        return x, term
    return x.sum(axes), "".join(c for c in term if c in needed)


# ---------------------------------------------------------------- two operands


def _order(pairs, output):
    """Which operands to contract, step by step; results go to the end of the list."""
    if len(pairs) <= 2:
        return [tuple(range(len(pairs)))]
    numbers = {c: i for i, c in enumerate(dict.fromkeys("".join(term for _, term in pairs)))}
    items = []
    for x, term in pairs:
        items += [np.broadcast_to(np.float32(0), x._aval.shape), [numbers[c] for c in term]]
    search = "optimal" if len(pairs) <= 5 else "greedy"
    path, _ = np.einsum_path(*items, [numbers[c] for c in output], optimize=search)
    return path[1:]


def _contract(x, tx, y, ty, needed):
    """The product of two operands, summed over the axes that are not `needed`; and its term."""
    x, tx = _summed(x, tx, needed + ty)
    y, ty = _summed(y, ty, needed + tx)
    batch = "".join(c for c in tx if c in ty and c in needed)
    inner = "".join(c for c in tx if c in ty and c not in needed)
    left = "".join(c for c in tx if c not in ty)
    right = "".join(c for c in ty if c not in tx)
    if not inner or not (left or right):
        names = tx + right
        product = _aligned(x, tx, names) * _aligned(y, ty, names)
        return _summed(product, names, needed)
    lengths = dict(zip(tx + ty, x._aval.shape + y._aval.shape, strict=True))
    product = _product(x, tx, y, ty, (batch, left, inner, right))
    term = batch + left + right
    return reshape(product, tuple(lengths[c] for c in term)), term


def _aligned(x, term, names):
    """With the axes in the order of `names`, of length 1 where it has none of that name."""
    order = tuple(term.index(c) for c in names if c in term)
    x = permute(x, order) if order != tuple(range(len(order))) else x
    shape = iter(x._aval.shape)
    aligned = tuple(next(shape) if c in term else 1 for c in names)
    return reshape(x, aligned) if aligned != x._aval.shape else x


def _product(x, tx, y, ty, groups):
    """The matrix product of (batch, left, inner) and (batch, inner, right)."""
    batch, left, inner, right = groups
    if not batch and not left:
        return matmul(_matrix(x, tx, ("", inner)), _matrix(y, ty, ("", inner, right)))
    if not batch and not right:
        return matmul(_matrix(x, tx, ("", left, inner)), _matrix(y, ty, ("", inner)))
    return matmul(_matrix(x, tx, (batch, left, inner)), _matrix(y, ty, (batch, inner, right)))


def _matrix(x, term, groups):
    """Axes in groups, each but the first merged into one; transposed rather than copied."""
    batch, *merged = groups
    rows_last = len(merged) == 2 and all(
        term.index(c) < term.index(r) for c in merged[1] for r in merged[0]
    )
    if rows_last:
        merged.reverse()
    order = [term.index(c) for c in batch + "".join(merged)]
    moved = permute(x, tuple(order)) if order != sorted(order) else x
    n = len(batch)
    lengths = dict(zip(term, x._aval.shape, strict=True))
    shape = (*moved._aval.shape[:n], *(math.prod(lengths[c] for c in g) for g in merged))
    moved = reshape(moved, shape) if shape != moved._aval.shape else moved
    return permute(moved, (*range(n), n + 1, n)) if rows_last else moved


# ---------------------------------------------------------------- tensordot


@export("tensordot", method=False, numpy=())
def tensordot(a, b, dims: Any = 2) -> Tensor:
    """Sum of products over the last `dims` axes of a and the first of b, or over lists of axes.

    >>> import tapejit as tj
    >>> a, b = tj.arange(6).reshape(2, 3), tj.arange(6).reshape(3, 2)
    >>> tj.tensordot(a, b, 1)
    tensor([[10, 13],
            [28, 40]])
    >>> tj.tensordot(a, b, ([0, 1], [1, 0]))
    tensor(50)
    """
    a, b = tensor_of(a), tensor_of(b)
    n, m = a._aval.ndim, b._aval.ndim
    if np.ndim(dims) == 0:
        if dims < 0:
            raise ArgumentError(f"tensordot expects dims >= 0, but got dims={dims}")
        of_a, of_b = list(range(n - dims, n)), list(range(dims))
    else:
        of_a, of_b = (list(np.atleast_1d(d)) for d in dims)
    if len(of_a) != len(of_b):
        raise ShapeError("both dimension lists should have same length")
    of_a = [normalize_axis("tensordot", int(d), n) for d in of_a]
    of_b = [normalize_axis("tensordot", int(d), m) for d in of_b]
    for d, e in zip(of_a, of_b, strict=True):
        if a._aval.shape[d] != b._aval.shape[e] and 1 not in (a._aval.shape[d], b._aval.shape[e]):
            raise ShapeError(
                "contracted dimensions need to match, but first has size "
                f"{a._aval.shape[d]} in dim {d} and second has size {b._aval.shape[e]} in dim {e}"
            )
    names = list(range(n, n + m))
    for d, e in zip(of_a, of_b, strict=True):
        names[e] = d
    result = [d for d in range(n) if d not in of_a] + [i for i in names if i >= n]
    return einsum(a, list(range(n)), b, names, result)


FOR_NUMPY[np.tensordot] = lambda a, b, axes=2: tensordot(a, b, axes)
