"""jacobian and hessian: all derivatives, as arrays.

The outermost call is one compiled program (`jacobian_rows`).  Where that would be too large, and
for functions with rules of their own, one pullback is compiled and run for each output element;
rules that read their cotangents (and so must be run for each) are recorded row by row.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit import autodiff
from tapejit.errors import ArgumentError
from tapejit.registry import OPS
from tapejit.runtime.devices import as_value, moved, on_host
from tapejit.runtime.entry import Entries
from tapejit.tensor.calls import Level
from tapejit.tensor.core import Tensor, apply, wrap
from tapejit.tensor.modes import enable_grad
from tapejit.transforms import running, trees
from tapejit.transforms.devices import on_device
from tapejit.transforms.dispatch import (
    Arguments,
    Transform,
    Transforms,
    array_of,
    is_inner,
    leave,
    rebuild,
    with_aliases,
)
from tapejit.transforms.gradients import grad, inner_gradient
from tapejit.transforms.jacobian_rows import (
    TooLarge,
    check_not_complex,
    derive_jacobian,
    float_rows,
    no_pair,
    parted,
    rows_of,
)
from tapejit.transforms.paths import Derived
from tapejit.transforms.trace import OutputRow, Trace, uses_numpy
from tapejit.transforms.vmap import over_samples
from tapejit.transforms.wrapping import as_function, entering


def jacobian(
    function: Callable | None = None,
    argnums: Any = 0,
    sparse: bool = False,
    device: Any = None,
    *,
    has_aux: bool = False,
) -> Callable:
    """All first derivatives: per output leaf an array of shape output.shape + argument.shape.

    argnums  which positional arguments: a number, or several (then a tuple)
    has_aux  the function returns (output, extras); (jacobian, extras) is returned
    sparse   one SciPy CSR array for all: a row for each element of the outputs, a column for each
             element of the arguments, both in order.  The pattern is read from the recorded
             operations (`sparsity`), coloured once and kept; zeros that belong to it are stored.
             Values are fresh; the arrays of the pattern are shared by the results, and read-only
    device   where NumPy arrays are to be computed, as in `jit`; not where sparse
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
        return functools.partial(
            jacobian, argnums=argnums, sparse=sparse, device=device, has_aux=has_aux
        )
    if sparse:
        _check_sparse("jacobian", device, has_aux)
        from tapejit.transforms.sparse import calls  # with SciPy

        return calls.sparse_derivative(function, argnums, calls.derive_jacobian, "jacobian")
    return on_device(_dense(function, argnums, has_aux), function, device)


def jacfwd(
    function: Callable | None = None, argnums: Any = 0, has_aux: bool = False, device: Any = None
) -> Callable:
    """As `jacobian`, by forward sweeps: one for each element of the arguments.

    `jacobian` takes these where they are fewer.  Complex arguments, rules of your own, and what
    would be too large at once go by reverse sweeps here too.

    argnums  which positional arguments: a number, or several (then a tuple)
    has_aux  the function returns (output, extras); (jacobian, extras) is returned
    device   where NumPy arrays are to be computed, as in `jit`
    Like     jax.jacfwd

    >>> import numpy as np, tapejit as tj
    >>> tj.jacfwd(lambda t: np.array([1.0, 2.0, 3.0]) * t**2)(2.0)
    array([ 4.,  8., 12.])
    """
    if function is None:
        return functools.partial(jacfwd, argnums=argnums, has_aux=has_aux, device=device)
    return on_device(_dense(function, argnums, has_aux, "forward"), function, device)


def jacrev(
    function: Callable | None = None, argnums: Any = 0, has_aux: bool = False, device: Any = None
) -> Callable:
    """As `jacobian`, by reverse sweeps: one for each element of the outputs.

    `jacobian` takes these where they are fewer.

    argnums  which positional arguments: a number, or several (then a tuple)
    has_aux  the function returns (output, extras); (jacobian, extras) is returned
    device   where NumPy arrays are to be computed, as in `jit`
    Like     jax.jacrev

    >>> import numpy as np, tapejit as tj
    >>> slopes, total = tj.jacrev(lambda x: (x[:2] * x[2], np.sum(x)), has_aux=True)(np.ones(3))
    >>> slopes, total
    (array([[1., 0., 1.],
           [0., 1., 1.]]), np.float64(3.0))
    """
    if function is None:
        return functools.partial(jacrev, argnums=argnums, has_aux=has_aux, device=device)
    return on_device(_dense(function, argnums, has_aux, "reverse"), function, device)


def _dense(function, argnums, has_aux, sweep="") -> Callable:
    """The function whose calls give all blocks, and the extras."""
    arguments = Arguments(argnums)
    whole, by_rows, row_by_row, entries = Transforms(), Transforms(), Transforms(), Entries()
    large: set = set()  # signatures of which the rows are computed one after the other
    read: set = set()  # and those with rules that read the cotangents of a row

    def full_call(args, kwargs, out):
        leaves: list = []
        trees.flatten((args, kwargs), leaves)

        def inner():
            return _inner_jacobian(function, arguments, args, kwargs, has_aux)

        if is_inner(leaves, out):
            arguments.positions(args)  # checks them
            return inner()
        transform, answer = prepare(args, kwargs)
        signature, *_ = transform.signature(args, kwargs)
        if signature not in large:
            try:
                return transform.answer(args, kwargs, answer, inner, out)
            except TooLarge:
                large.add(signature)
        wanted = arguments.wanted(args)
        if signature not in read:
            if wanted not in by_rows:
                derive = functools.partial(_derive_pullback, wanted=wanted, has_aux=has_aux)
                by_rows[wanted] = Transform(function, derive, n_levels=1)
            try:
                value = _rows(by_rows[wanted], arguments, args, kwargs, wanted, inner, has_aux)
                return value if out is None else out.fill(value)
            except running.SeedsRead:
                read.add(signature)
        if wanted not in row_by_row:
            derive = functools.partial(_derive_row_by_row, wanted=wanted, has_aux=has_aux)
            row_by_row[wanted] = Transform(function, derive, n_levels=1)
        rows = row_by_row[wanted]
        value = _recorded_rows(rows, arguments, args, kwargs, wanted, inner, has_aux)
        return value if out is None else out.fill(value)

    def prepare(args, kwargs):
        wanted = arguments.wanted(args)
        if wanted not in whole:
            derive = functools.partial(derive_jacobian, wanted=wanted, has_aux=has_aux, sweep=sweep)
            whole[wanted] = Transform(function, derive, entries, n_levels=1)

        def answer(recorded, results, leaves):
            main, extras = parted(recorded, has_aux)
            n = len(rows_of(extras))
            blocks = _blocks(arguments, args, wanted, main, results[n:], leaves)
            return (blocks, rebuild(extras, results[:n], leaves)) if has_aux else blocks

        return whole[wanted], answer

    call = entering(function, entries, full_call)
    call.transforms = whole
    return as_function(call, function, prepare)


def _check_sparse(name, device, has_aux):
    if has_aux:
        raise ArgumentError(
            f"{name}: sparse=True gives one array, there are no extras\n"
            "  try  has_aux=False, and what else is needed from a call of its own"
        )
    if device is not None:
        raise ArgumentError(
            f"device: sparse derivatives are computed on the CPU, not on {device}\n"
            "  try  without sparse=True"
        )


def _blocks(arguments, args, wanted, recorded, results, leaves):
    """What the program gives, nested as outputs and arguments are."""
    is_numpy, remaining, per_output = uses_numpy(leaves), iter(results), []
    live = set(float_rows(recorded))
    for output, shape in zip(recorded.outputs, recorded.shapes, strict=True):
        has_slope = isinstance(output, OutputRow) and int(output) in live
        blocks = []
        for i in wanted:
            array = array_of(leaves[i])
            block = next(remaining) if has_slope else None
            if block is None:
                block = moved(np.zeros((*shape, *array.shape), array.dtype)[()], array.device)
            blocks.append(leave(block, leaves[i] if not np.ndim(block) else None, is_numpy))
        per_output.append(arguments.gather(args, blocks))
    return trees.unflatten(recorded.structure, per_output)


def _derive_pullback(recorded: Trace, wanted, has_aux) -> Derived:
    """The extras, then a cotangent for each wanted argument."""
    main, extras = parted(recorded, has_aux)
    roots = float_rows(main)
    inputs = tuple(recorded.inputs[i] for i in wanted)
    if recorded.seeds is not None:  # calls that go by a rule of their own
        level = recorded.levels[0]
        seeds, results = running.reverse(recorded, roots, inputs, level, recorded.seeds())
        running.check_unread(recorded, seeds)
        return running.derived(recorded, seeds, (*rows_of(extras), *results))
    sweep = autodiff.reverse(recorded.recording, roots, inputs)
    return Derived(sweep.tape, sweep.seeds, (*rows_of(extras), *sweep.results))


def _derive_row_by_row(recorded: Trace, wanted, has_aux) -> Derived:
    """The extras, then all rows, of each a pullback with the seeds of that row."""
    main, extras = parted(recorded, has_aux)
    roots, level = float_rows(main), recorded.levels[0]
    inputs = tuple(recorded.inputs[i] for i in wanted)
    seeds: list = []
    results = [*rows_of(extras)]
    for i in range(_n_rows(main)):
        row = running.reverse(recorded, roots, inputs, level, _unit_seeds(main, i))
        seeds += row[0]
        results += row[1]
    return running.derived(recorded, seeds, results)


def _n_rows(main: Trace) -> int:
    return sum(main.recording.kind(row).aval.size for row in float_rows(main))


def _unit_seeds(main: Trace, place: int) -> list:
    """Cotangents of the outputs: a 1 for one element of all."""
    arrays = []
    for row in float_rows(main):
        aval = main.recording.kind(row).aval
        seed = np.zeros(aval.size, aval.dtype.dtype)
        if 0 <= place < aval.size:
            seed[place] = 1
        place -= aval.size
        arrays.append(moved(seed.reshape(aval.shape), aval.device))
    return arrays


def _rows(transform, arguments, args, kwargs, wanted, inner, has_aux):
    """One pullback per output element, all by the program of the first."""

    def seeds_of(place):
        return lambda recorded: _unit_seeds(parted(recorded, has_aux)[0], place)

    called = transform.call(args, kwargs, seeds_of(0))
    if called.is_inner:
        return inner()
    _, leaves, path, first, _ = called
    recorded, arrays = path.trace, [array_of(x) for x in leaves]
    main, extras = parted(recorded, has_aux)
    n = _n_rows(main)
    rows = [first] if n else []
    rows += [path.results([*arrays, *seeds_of(i)(recorded)], again=True) for i in range(1, n)]
    n_extras = len(rows_of(extras))
    slopes = _assemble(main, [row[n_extras:] for row in rows], arguments, args, leaves, wanted)
    return (slopes, rebuild(extras, first[:n_extras], leaves)) if has_aux else slopes


def _recorded_rows(transform, arguments, args, kwargs, wanted, inner, has_aux):
    """One program for all rows, each recorded."""

    def seeds(recorded):
        main, _ = parted(recorded, has_aux)
        return [seed for i in range(_n_rows(main)) for seed in _unit_seeds(main, i)]

    called = transform.call(args, kwargs, seeds)
    if called.is_inner:
        return inner()
    main, extras = parted(called.path.trace, has_aux)
    n_extras, n, results = len(rows_of(extras)), len(wanted), called.results
    rows = [results[start : start + n] for start in range(n_extras, len(results), n)]
    slopes = _assemble(main, rows, arguments, args, called.leaves, wanted)
    return (slopes, rebuild(extras, results[:n_extras], called.leaves)) if has_aux else slopes


def _assemble(recorded, rows, arguments, args, leaves, wanted):
    """Per output leaf the nested Jacobian blocks."""
    is_numpy = uses_numpy(leaves)
    start, per_output = 0, []
    live = set(float_rows(recorded))
    for output, shape in zip(recorded.outputs, recorded.shapes, strict=True):
        n = math.prod(shape)
        is_row = isinstance(output, OutputRow) and int(output) in live
        part = rows[start : start + n] if is_row else []
        start += n if is_row else 0
        blocks = []
        for column, i in enumerate(wanted):
            array = array_of(leaves[i])
            block = np.zeros((n, *np.shape(array)), array.dtype)
            for j, row in enumerate(part):
                if row[column] is not None:
                    block[j] = on_host(row[column])
            block = block.reshape((*shape, *np.shape(array)))
            block = moved(block[()], array.device)
            blocks.append(leave(block, leaves[i] if not block.ndim else None, is_numpy))
        per_output.append(arguments.gather(args, blocks))
    return trees.unflatten(recorded.structure, per_output)


def _inner_jacobian(function, arguments, args, kwargs, has_aux):
    with enable_grad():
        aliased, aliases = with_aliases(arguments, args)
        with Level(aliases) as level:
            result = function(*aliased, **kwargs)
        if has_aux and not (type(result) is tuple and len(result) == 2):
            raise no_pair()
        output, extras = result if has_aux else (result, None)
        outputs: list = []
        structure = trees.flatten(output, outputs)
        answers = []
        for output in outputs:
            columns = _inner_rows(output, aliases, level)
            answers.append(arguments.gather(args, columns))
    slopes = trees.unflatten(structure, answers)
    return (slopes, extras) if has_aux else slopes


def _inner_rows(output, aliases, level):
    if not isinstance(output, Tensor):
        output = wrap(as_value(output))
    check_not_complex(output._aval.dtype)
    seeds = _unit_vectors(output)
    columns = over_samples(lambda seed: inner_gradient(output, aliases, level, seed), seeds)
    blocks = [
        apply(OPS["reshape"], (column,), ((*output._aval.shape, *x._aval.shape),))
        for column, x in zip(columns, aliases, strict=True)
    ]
    return [apply(OPS["derivative"], (block,)) for block in blocks]


def _unit_vectors(output: Tensor) -> Tensor:
    """One cotangent per element, made of indices: kernels compute it in registers."""
    n, dtype = output._aval.size, output._aval.dtype
    return apply(OPS["unit_vectors"], (output,), ((n, *output._aval.shape), 0, dtype.name))


def hessian(
    function: Callable | None = None,
    argnums: Any = 0,
    sparse: bool = False,
    device: Any = None,
    *,
    has_aux: bool = False,
) -> Callable:
    """All second derivatives of a scalar function: shape argument.shape twice.

    has_aux  the function returns (value, extras); (hessian, extras) is returned
    sparse  one SciPy CSR array for all arguments, exactly symmetric, as `jacobian` has it
    device  where NumPy arrays are to be computed, as in `jit`; not where sparse
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
        return functools.partial(
            hessian, argnums=argnums, sparse=sparse, device=device, has_aux=has_aux
        )
    if sparse:
        _check_sparse("hessian", device, has_aux)
        from tapejit.transforms.sparse import calls

        return calls.sparse_derivative(function, argnums, calls.derive_hessian, "hessian", 2)
    gradient = grad(function, argnums, has_aux)
    return on_device(as_function(_dense(gradient, argnums, has_aux), function), function, device)


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
