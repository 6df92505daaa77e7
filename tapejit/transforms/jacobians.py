"""jacobian and hessian: all derivatives, as arrays.

The outermost call compiles one pullback and runs it once per output element.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from tapejit import autodiff
from tapejit.errors import NotDifferentiable
from tapejit.tensor.core import Tensor, wrap
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.modes import enable_grad
from tapejit.transforms import trees
from tapejit.transforms.destinations import filling
from tapejit.transforms.dispatch import (
    Arguments,
    Transform,
    Transforms,
    array_of,
    as_function,
    is_recorded,
    leave,
    with_aliases,
)
from tapejit.transforms.gradients import grad, inner_gradient
from tapejit.transforms.paths import Derived
from tapejit.transforms.trace import OutputRow, Trace, uses_numpy


def jacobian(function: Callable | None = None, argnums=0) -> Callable:
    """All first derivatives: per output leaf an array of shape output.shape + argument.shape.

    argnums  which positional arguments: a number, or several (then a tuple)
    Calls    take out=, one array or a tuple of them, as those of `grad` do
    Like     jax.jacobian; forward mode where there are fewer inputs than outputs

    >>> import numpy as np, tapejit as tj
    >>> tj.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    if function is None:
        return functools.partial(jacobian, argnums=argnums)
    arguments = Arguments(argnums)
    cache = Transforms()

    def full_call(*args, **kwargs):
        leaves: list = []
        trees.flatten((args, kwargs), leaves)
        spans = arguments.positions(args)
        wanted = tuple(i for first, last in spans for i in range(first, last))
        if is_recorded(leaves):
            return _inner_jacobian(function, arguments, args, kwargs)
        if wanted not in cache:
            derive = functools.partial(_derive_pullback, wanted=wanted)
            cache[wanted] = Transform(function, derive)
        return _rows(cache[wanted], arguments, args, kwargs, wanted)

    call = filling(function, full_call)
    call.transforms = cache
    return as_function(call, function)


def _check_no_complex(dtype):
    if dtype.is_complex:
        raise NotDifferentiable(
            "jacobian: an output is complex, and has no one derivative unless the function is "
            "holomorphic\n  try  its .real and .imag, or vjp and jvp"
        )


def _derive_pullback(recorded: Trace, wanted) -> Derived:
    rows = tuple(int(row) for row in recorded.outputs if isinstance(row, OutputRow))
    for row in rows:
        _check_no_complex(recorded.recording.kind(row).aval.dtype)
    roots = tuple(r for r in rows if recorded.recording.kind(r).aval.dtype.is_inexact)
    sweep = autodiff.reverse(recorded.recording, roots, tuple(recorded.inputs[i] for i in wanted))
    return Derived(sweep.tape, sweep.seeds, sweep.results)


def _rows(transform, arguments, args, kwargs, wanted):
    """One pullback per output element."""
    holder: dict = {}

    def seeds_for(place):
        def seeds(recorded):
            holder["trace"] = recorded
            arrays = []
            offset = place
            for row in _float_rows(recorded):
                aval = recorded.recording.kind(row).aval
                seed = np.zeros(aval.size, aval.dtype.dtype)
                if 0 <= offset < aval.size:
                    seed[offset] = 1
                offset -= aval.size
                arrays.append(seed.reshape(aval.shape))
            return arrays

        return seeds

    _, leaves, path, first, _ = transform.call(args, kwargs, seeds_for(0))
    recorded, arrays = path.trace, [array_of(x) for x in leaves]
    n = sum(recorded.recording.kind(row).aval.size for row in _float_rows(recorded))
    rows = [first] if n else []
    rows += [path.results([*arrays, *seeds_for(i)(recorded)], again=True) for i in range(1, n)]
    return _assemble(recorded, rows, arguments, args, leaves, wanted)


def _float_rows(recorded):
    return [
        int(row)
        for row in recorded.outputs
        if isinstance(row, OutputRow) and recorded.recording.kind(int(row)).aval.dtype.is_inexact
    ]


def _assemble(recorded, rows, arguments, args, leaves, wanted):
    """Per output leaf the nested Jacobian blocks."""
    is_numpy = uses_numpy(leaves)
    start, per_output = 0, []
    float_rows = set(_float_rows(recorded))
    for output, shape in zip(recorded.outputs, recorded.shapes, strict=True):
        n = math.prod(shape)
        is_row = isinstance(output, OutputRow) and int(output) in float_rows
        part = rows[start : start + n] if is_row else []
        start += n if is_row else 0
        blocks = []
        for column, i in enumerate(wanted):
            array = array_of(leaves[i])
            block = np.zeros((n, *np.shape(array)), array.dtype)
            for j, row in enumerate(part):
                if row[column] is not None:
                    block[j] = row[column]
            block = block.reshape((*shape, *np.shape(array)))
            blocks.append(leave(block[()], leaves[i] if not block.ndim else None, is_numpy))
        per_output.append(arguments.gather(args, blocks))
    return trees.unflatten(recorded.structure, per_output)


def _inner_jacobian(function, arguments, args, kwargs):
    with enable_grad():
        aliased, aliases = with_aliases(arguments, args)
        result = function(*aliased, **kwargs)
        outputs: list = []
        structure = trees.flatten(result, outputs)
        answers = []
        for output in outputs:
            columns = _inner_rows(output, aliases)
            answers.append(arguments.gather(args, columns))
    return trees.unflatten(structure, answers)


def _inner_rows(output, aliases):
    if not isinstance(output, Tensor):
        output = wrap(np.asarray(output)[()])
    shape, n = output._aval.shape, output._aval.size
    _check_no_complex(output._aval.dtype)
    rows = []
    for i in range(n):
        seed = np.zeros(n, output._aval.dtype.dtype)
        seed[i] = 1
        rows.append(inner_gradient(output, aliases, wrap(seed.reshape(shape)[()])))
    return [
        FUNCTIONS["stack"]([row[k] for row in rows]).reshape((*shape, *x._aval.shape))
        if rows
        else wrap(np.zeros((*shape, *x._aval.shape), x._aval.dtype.dtype))
        for k, x in enumerate(aliases)
    ]


def hessian(function: Callable | None = None, argnums=0) -> Callable:
    """All second derivatives of a scalar function: shape argument.shape twice.

    Calls take out=, as those of `jacobian` do
    Like  jax.hessian: the Jacobian of the gradient

    >>> import numpy as np, tapejit as tj
    >>> tj.hessian(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    if function is None:
        return functools.partial(hessian, argnums=argnums)
    return as_function(jacobian(grad(function, argnums), argnums), function)
