"""Matrix products, diagonals and einsum, through expand, permute and matmul."""

from __future__ import annotations

import numpy as np

from tapejit.errors import DtypeError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import normalize_axis
from tapejit.tensor.core import Tensor, apply, as_data, wrap
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, named
from tapejit.tensor.shaping import permute, ravel, reshape, unsqueeze

# ---------------------------------------------------------------- matrix products

_MATMUL = OPS["matmul"]


@export("matmul", numpy=("matmul",))
def matmul(input, other):
    """Matrix product; vectors count as rows or columns, batch axes broadcast."""
    x, y = (v if isinstance(v, Tensor) else as_data(v) for v in (input, other))
    result = apply(_MATMUL, (x, y))
    n, m = x._aval.ndim, y._aval.ndim
    if n == 1 and m == 1:
        return named(result, "DotBackward0")
    if n == 2 and m == 1:
        return named(result, "MvBackward0")
    if n == 1 and m == 2:
        return named(result, "SqueezeBackward4")
    if n == m == 2:
        return result
    return named(result, "CloneBackward0" if n == 2 else "UnsafeViewBackward0")


Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda x, y: matmul(y, x)


def _product(name, ndims, grad_name=None):
    def function(input, other):
        if (input._aval.ndim, other._aval.ndim) != ndims:
            raise ShapeError(
                f"{name}: expected {ndims[0]}D and {ndims[1]}D tensors, but got "
                f"{input._aval.ndim}D and {other._aval.ndim}D tensors"
            )
        if input._aval.dtype is not other._aval.dtype:
            raise DtypeError(
                "expected m1 and m2 to have the same dtype, but got: "
                f"{input.dtype} != {other.dtype}"
            )
        result = matmul(input, other)
        return named(result, grad_name) if grad_name else result

    function.__name__ = name
    function.__doc__ = f"Matrix product of {ndims[0]}-D and {ndims[1]}-D tensors."
    return export(name)(function)


mm, mv = _product("mm", (2, 2)), _product("mv", (2, 1))
dot, bmm = _product("dot", (1, 1)), _product("bmm", (3, 3), "BmmBackward0")


def _numpy_dot(x, y):
    x, y = (v if isinstance(v, Tensor) else as_data(v) for v in (x, y))
    if not x._aval.ndim or not y._aval.ndim:
        return x * y
    if y._aval.ndim > 2:
        raise ShapeError("np.dot of more than 2 axes on the right\n  try  np.matmul or np.einsum")
    return matmul(x, y)


FOR_NUMPY[np.dot] = _numpy_dot
FOR_NUMPY[np.inner] = lambda x, y: (x * y).sum(-1)
FOR_NUMPY[np.vdot] = lambda x, y: (ravel(x) * y.reshape(-1)).sum()


@export("outer", "ger")
def outer(input, vec2):
    """All products of the elements of two vectors."""
    for x, which in ((input, "self"), (vec2, "vec2")):
        if x._aval.ndim != 1:
            raise ShapeError(f"outer: Expected 1-D argument {which}, but got {x._aval.ndim}-D")
    return unsqueeze(input, 1) * unsqueeze(vec2, 0)


FOR_NUMPY[np.outer] = lambda x, y: outer(x if isinstance(x, Tensor) else as_data(x), y)


@export("trace", numpy=("trace",))
def trace(input):
    """The sum of the diagonal of a matrix."""
    return named(diagonal(input).sum(), "TraceBackward0")


@export("diagonal")
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of two axes, as the last axis."""
    n = input._aval.ndim
    first, second = (normalize_axis("diagonal", d, n) for d in (dim1, dim2))
    order = (first, second, *(a for a in range(n) if a not in (first, second)))
    moved = permute(input, order)
    rows, columns = moved._aval.shape[:2]
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    places = np.arange(length)
    picked = apply(
        OPS["index"], (moved, wrap(places - min(offset, 0)), wrap(places + max(offset, 0)))
    )
    return named(permute(picked, (*range(1, picked._aval.ndim), 0)), "DiagonalBackward0")


@export("diag", numpy=("diag",))
def diag(input, diagonal_offset=0):
    """A matrix with this diagonal, or the diagonal of a matrix."""
    if input._aval.ndim == 2:
        return named(diagonal(input, diagonal_offset), "DiagonalBackward0_copy")
    n = input._aval.size + abs(diagonal_offset)
    places = np.arange(input._aval.size)
    rows, columns = places - min(diagonal_offset, 0), places + max(diagonal_offset, 0)
    result = apply(OPS["index_add"], (input, wrap(rows), wrap(columns)), ((n, n),))
    return named(result, "DiagEmbedBackward0")


def _triangle(name, numpy_function):
    def function(input, diagonal=0):
        mask = numpy_function(np.ones(input._aval.shape[-2:], bool), diagonal)
        result = FUNCTIONS["where"](wrap(mask), input, 0)
        return named(result, f"{name.capitalize()}Backward0")

    function.__name__ = name
    function.__doc__ = f"The {'lower' if name == 'tril' else 'upper'} triangle; 0 elsewhere."
    return export(name, numpy=(name,))(function)


tril, triu = _triangle("tril", np.tril), _triangle("triu", np.triu)


@export("einsum", method=False)
def einsum(equation, *operands):
    """Sum of products over named axes, as np.einsum (explicit or implicit output)."""
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    inputs, _, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if "." in equation:
        raise ShapeError("einsum: '...' is not supported\n  try  name every axis")
    if "->" not in equation:
        letters = "".join(terms)
        output = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    names = output + "".join(sorted(set("".join(terms)) - set(output)))
    aligned = [_align(x, term, names) for x, term in zip(operands, terms, strict=True)]
    product = aligned[0]
    for other in aligned[1:]:
        product = product * other
    axes = tuple(range(len(output), len(names)))
    return product.sum(axes) if axes else product


def _align(x, term, names):
    x = x if isinstance(x, Tensor) else as_data(x)
    while len(set(term)) < len(term):
        letter = next(c for c in term if term.count(c) > 1)
        first = term.index(letter)
        second = term.index(letter, first + 1)
        x = diagonal(x, 0, first, second)
        term = "".join(c for i, c in enumerate(term) if i not in (first, second)) + letter
    x = permute(x, tuple(term.index(c) for c in names if c in term))
    lengths = iter(x._aval.shape)
    return reshape(x, tuple(next(lengths) if c in term else 1 for c in names))


FOR_NUMPY[np.einsum] = einsum
