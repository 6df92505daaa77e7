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
from tapejit.tensor.calls import Level
from tapejit.tensor.core import Tensor, wrap
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.modes import enable_grad
from tapejit.transforms import running, trees
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


def jacobian(function: Callable | None = None, argnums=0, sparse: bool = False) -> Callable:
    """All first derivatives: per output leaf an array of shape output.shape + argument.shape.

    argnums  which positional arguments: a number, or several (then a tuple)
    sparse   one SciPy CSR array for all: a row for each element of the outputs, a column for each
             element of the arguments, both in order.  The pattern is read from the recorded
             operations (`sparsity`), coloured once and kept; zeros that belong to it are stored.
             Values are fresh; the arrays of the pattern are shared by the results, and read-only
    Calls    take out=, one array or a tuple of them, as those of `grad` do; not where sparse
    Errors   NotDifferentiable for complex outputs; with sparse, TraceError inside another transform
    Like     jax.jacobian; sparse: sparsejac.jacrev and CasADi, without a pattern to be given

    >>> import numpy as np, tapejit as tj
    >>> tj.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    >>> steps = tj.jacobian(np.diff, sparse=True)(np.zeros(1000))
    >>> steps.shape, steps.nnz
    ((999, 1000), 1998)
    """
    if function is None:
        return functools.partial(jacobian, argnums=argnums, sparse=sparse)
    if sparse:
        from tapejit.transforms.sparse import calls  # with SciPy

        return calls.sparse_derivative(function, argnums, calls.derive_jacobian, "jacobian")
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
            cache[wanted] = Transform(function, derive, n_levels=1)
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
    inputs = tuple(recorded.inputs[i] for i in wanted)
    if recorded.seeds is not None:
        return _run_pullback(recorded, roots, inputs)
    sweep = autodiff.reverse(recorded.recording, roots, inputs)
    return Derived(sweep.tape, sweep.seeds, sweep.results)


def _run_pullback(recorded, roots, inputs):
    """The pullback of a trace with calls that go by a rule of their own."""
    level = recorded.levels[0]
    seeds, results = running.reverse(recorded, roots, inputs, level, recorded.seeds())
    running.check_unread(recorded, seeds)
    return running.derived(recorded, seeds, results)


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
        with Level(aliases) as level:
            result = function(*aliased, **kwargs)
        outputs: list = []
        structure = trees.flatten(result, outputs)
        answers = []
        for output in outputs:
            columns = _inner_rows(output, aliases, level)
            answers.append(arguments.gather(args, columns))
    return trees.unflatten(structure, answers)


def _inner_rows(output, aliases, level):
    if not isinstance(output, Tensor):
        output = wrap(np.asarray(output)[()])
    shape, n = output._aval.shape, output._aval.size
    _check_no_complex(output._aval.dtype)
    rows = []
    for i in range(n):
        seed = np.zeros(n, output._aval.dtype.dtype)
        seed[i] = 1
        rows.append(inner_gradient(output, aliases, level, wrap(seed.reshape(shape)[()])))
    return [
        FUNCTIONS["stack"]([row[k] for row in rows]).reshape((*shape, *x._aval.shape))
        if rows
        else wrap(np.zeros((*shape, *x._aval.shape), x._aval.dtype.dtype))
        for k, x in enumerate(aliases)
    ]


def hessian(function: Callable | None = None, argnums=0, sparse: bool = False) -> Callable:
    """All second derivatives of a scalar function: shape argument.shape twice.

    sparse  one SciPy CSR array for all arguments, exactly symmetric, as `jacobian` has it
    Calls   take out=, as those of `jacobian` do
    Like    jax.hessian: the Jacobian of the gradient

    >>> import numpy as np, tapejit as tj
    >>> tj.hessian(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    >>> tj.hessian(lambda x: np.sum(x[1:] * x[:-1]), sparse=True)(np.zeros(1000)).nnz
    1998
    """
    if function is None:
        return functools.partial(hessian, argnums=argnums, sparse=sparse)
    if sparse:
        from tapejit.transforms.sparse import calls

        return calls.sparse_derivative(function, argnums, calls.derive_hessian, "hessian", 2)
    return as_function(jacobian(grad(function, argnums), argnums), function)


def sparsity(function: Callable | None = None, argnums=0) -> Callable:
    """Which elements of a Jacobian may be other than zero, as a Boolean SciPy CSR array.

    The pattern is structural: it is read from the operations that a call records, both branches of
    `where` included, and holds for all values with which the function takes the same path and
    reads the same indices.  `sparsity(tj.grad(f))` is the pattern of a Hessian.

    Shapes  a row for each element of the outputs, a column for each element of the arguments
    Like    CasADi's jacobian_sparsity; SciPy's jac_sparsity and A of `group_columns` take it

    >>> import numpy as np, tapejit as tj
    >>> tj.sparsity(lambda x: x[1:] * x[:-1])(np.ones(4)).toarray().astype(int)
    array([[1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """
    if function is None:
        return functools.partial(sparsity, argnums=argnums)
    from tapejit.transforms.sparse import calls

    derive = functools.partial(calls.derive_jacobian, runner=calls.Reads)
    return calls.sparse_derivative(function, argnums, derive, "sparsity")
