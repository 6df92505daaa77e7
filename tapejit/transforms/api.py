"""grad, value_and_grad, jit, vjp, jvp, jacobian, hessian, hvp: transforms of Python functions.

Called with NumPy arrays, numbers or plain tensors, a transform is *outermost*: the function is
recorded once, differentiated tape → tape, compiled, and later calls run the program.  Called with
tensors that are being recorded, it is *inner*: it runs as ordinary recorded operations, so any
nesting is compiled as one by the transform outside.  NumPy in, NumPy out; tensors in, tensors out;
Python floats count as float64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit import autodiff, dtypes
from tapejit.errors import NotDifferentiable, ShapeError
from tapejit.registry import OPS
from tapejit.tensor import backward as engine
from tapejit.tensor.core import Tensor, apply, from_array, wrap
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.modes import enable_grad
from tapejit.transforms import trees
from tapejit.transforms.paths import Derived, Paths
from tapejit.transforms.trace import OutputRow, Trace, uses_numpy

# ---------------------------------------------------------------- calls


def signature_of(leaves: Sequence) -> tuple:
    """What of the leaves belongs to a program: shapes and dtypes, and who speaks."""
    return tuple(
        [
            (x.shape, x.dtype)
            if x.__class__ is np.ndarray
            else (float if type(x) is float else _signature_of_other(x))
            for x in leaves
        ]
    )


def _signature_of_other(x):
    if isinstance(x, Tensor):
        return x._aval
    if isinstance(x, np.ma.MaskedArray):
        from_array(x)  # raises
    return type(x), np.shape(x), getattr(x, "dtype", None)


def array_of(leaf):
    """The native array of an argument leaf."""
    if leaf.__class__ is np.ndarray:
        return leaf
    if isinstance(leaf, Tensor):
        return leaf._value
    if isinstance(leaf, float | int):
        return np.float64(leaf)
    return from_array(leaf)._value


def is_recorded(leaves: Sequence) -> bool:
    """Whether a call is an inner one: a leaf has, or asks for, a history."""
    return any([x.__class__ is Tensor and x._tracked for x in leaves])


def leave(value, example, is_numpy):
    """A result in the caller's language: float for floats, arrays for arrays, tensors else."""
    if not is_numpy:
        return value if isinstance(value, Tensor) else wrap(np.asarray(value)[()])
    if type(example) is float:
        return float(value)
    return value


class Transform:
    """A function under one derivation; the callable that users get."""

    def __init__(self, function: Callable, derive: Callable):
        self.function = function
        self.paths = Paths(function, derive)

    def call(self, args, kwargs, seeds: Callable):
        """(leaves, trace, results) of an outermost call."""
        leaves: list = []
        structure = trees.flatten((args, kwargs), leaves)
        signature = (structure, signature_of(leaves))
        arrays = [array_of(x) for x in leaves]
        recorded, results = self.paths.run(signature, structure, leaves, arrays, seeds)
        return leaves, recorded, results


def _remembered(function: Callable, name: str, derive: Callable) -> Transform:
    """The transform kept on the function itself, so that it lives as long as the function."""
    kept = getattr(function, "__dict__", None)
    if kept is None:
        return Transform(function, derive)
    key = f"__tapejit_{name}__"
    known = kept.get(key)
    # functools.wraps copies this dictionary to wrappers, which are other functions
    if known is None or known.function is not function:
        known = kept[key] = Transform(function, derive)
    return known


def _no_seeds(trace: Trace) -> tuple:
    return ()


def _as_function(wrapper, function):
    """Let the wrapper look like the function it stands for."""
    try:
        functools.update_wrapper(wrapper, function)
    except AttributeError:
        wrapper.__wrapped__ = function
    return wrapper


# ---------------------------------------------------------------- quick calls
#
# A call whose arguments are bare arrays and floats needs no trees: a table keyed by their shapes
# and dtypes leads straight to the program.  The entry steps aside (None) for anything unusual.


def quick_key(args) -> tuple:
    """Shapes and dtypes of bare arguments; classes of others (which no entry has)."""
    return tuple(
        [(x.shape, x.dtype) if x.__class__ is np.ndarray else x.__class__ for x in args]
    )


def _is_bare(args, kwargs) -> bool:
    return not kwargs and all(x.__class__ in (np.ndarray, float) for x in args)


def _quick_gradient(transform, arguments, args, wanted, recorded) -> Callable | None:
    """The entry for later calls like this one of value_and_grad."""
    leaves: list = []
    structure = trees.flatten((args, {}), leaves)
    run = transform.paths.quick((structure, signature_of(leaves)))
    if run is None or recorded.structure != trees.LEAF:
        return None
    are_floats = [type(args[i]) is float for i in wanted]
    plain = all(type(x) is float for x in args)
    is_single = arguments.is_single

    def call(args):
        outputs = run(args)
        if outputs is None:
            return None
        value, *gradients = outputs
        if True in are_floats:
            gradients = [
                g.item() if is_float else g for g, is_float in zip(gradients, are_floats, strict=True)
            ]
        return value.item() if plain else value, gradients[0] if is_single else tuple(gradients)

    return call


def _enter(entries, args, entry):
    """Keep an entry; a path that may no longer be taken first loses its own."""
    key = quick_key(args)
    if entry is None:
        entries.pop(key, None)
    else:
        entries[key] = entry


def _quick_value(transform, args, recorded) -> Callable | None:
    """The entry for later calls like this one of jit."""
    leaves: list = []
    structure = trees.flatten((args, {}), leaves)
    run = transform.paths.quick((structure, signature_of(leaves)))
    if run is None or recorded.structure != trees.LEAF or not isinstance(recorded.outputs[0], OutputRow):
        return None
    plain = all(type(x) is float for x in args)

    def call(args):
        outputs = run(args)
        if outputs is None:
            return None
        return outputs[0].item() if plain and np.ndim(outputs[0]) == 0 else outputs[0]

    return call


# ---------------------------------------------------------------- jit


def jit(function: Callable) -> Callable:
    """Compile a function of arrays: recorded on the first call, one program after that.

    Shapes  any; each combination of shapes and dtypes is planned once, kernels are shared
    Errors  what the function raises; TraceError for arguments or results of unknown types
    Like    jax.jit, with Python control flow: each branch taken is recorded and kept

    >>> import numpy as np, tapejit as tj
    >>> double = tj.jit(lambda x: np.sin(x) * 2)
    >>> float(double(np.array(0.0)))
    0.0
    """
    transform = Transform(function, _all_outputs)
    entries: dict[tuple, Callable] = {}

    def call(*args, **kwargs):
        if not kwargs:
            entry = entries.get(quick_key(args))
            if entry is not None:
                answer = entry(args)
                if answer is not None:
                    return answer
        leaves: list = []
        trees.flatten((args, kwargs), leaves)
        if is_recorded(leaves):
            return function(*args, **kwargs)
        leaves, recorded, results = transform.call(args, kwargs, _no_seeds)
        if _is_bare(args, kwargs):
            _enter(entries, args, _quick_value(transform, args, recorded))
        return _rebuild(recorded, iter(results), leaves)

    call.transform = transform
    return _as_function(call, function)


def _all_outputs(recorded: Trace) -> Derived:
    rows = tuple(int(row) for row in recorded.outputs if isinstance(row, OutputRow))
    return Derived(recorded.recording, (), rows)


def _rebuild(recorded: Trace, results, leaves):
    """The nested result of a traced function from its computed rows."""
    is_numpy = uses_numpy(leaves)
    plain = all(type(x) is float for x in leaves)
    values = []
    for output in recorded.outputs:
        if isinstance(output, OutputRow):
            value = next(results)
            if is_numpy and plain and np.ndim(value) == 0:
                value = value.item()
            values.append(leave(value, None, is_numpy))
        else:
            values.append(np.array(output) if isinstance(output, np.ndarray) else output)
    return trees.unflatten(recorded.structure, values)


# ---------------------------------------------------------------- which arguments


class Arguments:
    """Which leaves of a call the derivative is taken of."""

    def __init__(self, argnums):
        self.is_single = isinstance(argnums, int)
        self.argnums = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def positions(self, args) -> list[tuple[int, int]]:
        """Per argument the range of its leaves among those of the call."""
        spans, start, ends = [], 0, []
        for arg in args:
            leaves: list = []
            trees.flatten(arg, leaves)
            ends.append((start, start + len(leaves)))
            start += len(leaves)
        for argnum in self.argnums:
            if not -len(args) <= argnum < len(args):
                raise ShapeError(
                    f"grad: argnums {argnum} asks for an argument that was not passed by position "
                    f"({len(args)} were)\n  try  pass it by position"
                )
            self.check(args[argnum], argnum)
            spans.append(ends[argnum])
        return spans

    def check(self, arg, argnum):
        """Raise unless every number in the argument is a float."""
        leaves: list = []
        trees.flatten(arg, leaves, static_ints=False)
        if not leaves:
            raise NotDifferentiable(f"grad: argument {argnum} holds no array or float")
        for leaf in leaves:
            dtype = leaf.dtype if hasattr(leaf, "dtype") else type(leaf)
            is_float = dtype is float or getattr(getattr(dtype, "dtype", dtype), "kind", "") == "f"
            if not is_float:
                raise NotDifferentiable(
                    f"grad: only floating point arguments can be differentiated; argument {argnum} "
                    f"holds {getattr(dtype, '__name__', dtype)}\n  try  3.0 instead of 3, or .astype(float)"
                )

    def gather(self, args, per_leaf: Sequence):
        """Results per differentiated leaf, nested as the arguments are."""
        answers, values = [], iter(per_leaf)
        for argnum in self.argnums:
            leaves: list = []
            structure = trees.flatten(args[argnum], leaves)
            answers.append(trees.unflatten(structure, [next(values) for _ in leaves]))
        return answers[0] if self.is_single else tuple(answers)


def _scalar_output(recorded: Trace, has_aux):
    """The row of the value that is differentiated."""
    if recorded.structure == trees.LEAF or has_aux:
        output = recorded.outputs[0] if recorded.outputs else None
    else:
        raise NotDifferentiable(
            "grad: the function must return one number\n  try  has_aux=True for (value, extras)"
        )
    value = recorded.values[0] if recorded.values else None
    if np.size(value) != 1 or np.ndim(value) != 0:
        raise NotDifferentiable(
            f"grad: requires a scalar output, the function returned shape {np.shape(value)}\n"
            "  try  .sum(), or jacobian for several outputs"
        )
    if isinstance(output, OutputRow):
        if not recorded.recording.kind(output).aval.dtype.is_floating_point:
            raise NotDifferentiable("grad: the function's output is no float")
        return int(output)
    return None


# ---------------------------------------------------------------- value_and_grad


def value_and_grad(function: Callable | None = None, argnums=0, has_aux: bool = False) -> Callable:
    """The function's value and its gradient, in one program.

    argnums  which positional arguments: a number, or several (then a tuple of gradients)
    has_aux  the function returns (value, extras); extras are returned beside the value
    Returns  (value, gradient), or ((value, extras), gradient); gradients are nested as arguments
    Errors   NotDifferentiable for integer arguments or a result that is no scalar
    Like     jax.value_and_grad

    >>> import numpy as np, tapejit as tj
    >>> tj.value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """
    if function is None:
        return functools.partial(value_and_grad, argnums=argnums, has_aux=has_aux)
    arguments = Arguments(argnums)
    transforms: dict[tuple, Transform] = {}
    entries: dict[tuple, Callable] = {}

    def call(*args, **kwargs):
        if not kwargs:
            entry = entries.get(quick_key(args))
            if entry is not None:
                answer = entry(args)
                if answer is not None:
                    return answer
        leaves: list = []
        trees.flatten((args, kwargs), leaves)
        spans = tuple(arguments.positions(args))
        wanted = tuple(i for first, last in spans for i in range(first, last))
        if is_recorded(leaves):
            return _inner_value_and_grad(function, arguments, has_aux, args, kwargs)
        transform = transforms.get(wanted)
        if transform is None:
            derive = functools.partial(_derive_gradient, wanted=wanted, has_aux=has_aux)
            transform = transforms[wanted] = Transform(function, derive)
        leaves, recorded, results = transform.call(args, kwargs, _no_seeds)
        if _is_bare(args, kwargs) and not has_aux:
            _enter(entries, args, _quick_gradient(transform, arguments, args, wanted, recorded))
        return _answer_gradient(arguments, args, leaves, wanted, recorded, results, has_aux)

    call.transforms = transforms
    return _as_function(call, function)


def _derive_gradient(recorded: Trace, wanted, has_aux) -> Derived:
    root = _scalar_output(recorded, has_aux)
    values = tuple(int(row) for row in recorded.outputs if isinstance(row, OutputRow))
    rows = tuple(recorded.inputs[i] for i in wanted)
    if root is None:
        return Derived(recorded.recording, (), (*values, *(-1 for _ in rows)))
    sweep = autodiff.reverse(recorded.recording, (root,), rows, unit_seed=True)
    return Derived(sweep.tape, (), (*values, *sweep.results))


def _answer_gradient(arguments, args, leaves, wanted, recorded, results, has_aux):
    n = len(results) - len(wanted)
    value = _rebuild(recorded, iter(results[:n]), leaves)
    is_numpy = uses_numpy(leaves)
    gradients = []
    for i, gradient in zip(wanted, results[n:], strict=True):
        if gradient is None:
            array = array_of(leaves[i])
            gradient = np.zeros(np.shape(array), array.dtype)[()]
        gradients.append(leave(gradient, leaves[i], is_numpy))
    if has_aux:
        value = tuple(value)
    return value, arguments.gather(args, gradients)


def _alias(x) -> Tensor:
    """A tensor equal to x with a row of its own, to differentiate with respect to."""
    if not isinstance(x, Tensor):
        x = from_array(np.asarray(x, None if hasattr(x, "dtype") else np.float64)[()])
    if not x._tracked:
        return wrap(x._value, x._aval.dtype, tracked=True)
    return apply(OPS["reshape"], (x,), (x._aval.shape,), value=x._value)


def _with_aliases(arguments, args):
    """The arguments with aliases in place of the differentiated leaves, and these."""
    args, aliases = list(args), []
    for argnum in arguments.argnums:
        leaves: list = []
        structure = trees.flatten(args[argnum], leaves)
        fresh = [_alias(leaf) for leaf in leaves]
        aliases += fresh
        args[argnum] = trees.unflatten(structure, fresh)
    return args, aliases


def _inner_value_and_grad(function, arguments, has_aux, args, kwargs):
    with enable_grad():
        aliased, aliases = _with_aliases(arguments, args)
        result = function(*aliased, **kwargs)
        value = result[0] if has_aux else result
        gradients = _inner_gradient(value, aliases)
    return result, arguments.gather(args, gradients)


def _inner_gradient(value, inputs, seed=None):
    """Gradients as recorded operations; zeros where nothing depends."""
    if not isinstance(value, Tensor) or not value.requires_grad:
        return [_zeros(x) for x in inputs]
    if seed is None and value._aval.ndim:
        raise NotDifferentiable(
            f"grad: requires a scalar output, the function returned shape {value._aval.shape}"
        )
    seeds = None if seed is None else [seed]
    results = engine.gradients_of([value], inputs, seeds, retain_graph=True, create_graph=True)
    return [_zeros(x) if g is None else g for g, x in zip(results, inputs, strict=True)]


def _zeros(x):
    return wrap(np.zeros(x._aval.shape, x._aval.dtype.dtype)[()])


def grad(function: Callable | None = None, argnums=0, has_aux: bool = False) -> Callable:
    """The gradient of a function that returns one number.

    argnums  which positional arguments: a number, or several (then a tuple of gradients)
    has_aux  the function returns (value, extras); (gradient, extras) is returned
    Errors   NotDifferentiable for integer arguments or a result that is no scalar
    Like     jax.grad

    >>> import tapejit as tj
    >>> tj.grad(lambda x: x**3)(2.0)
    12.0
    """
    if function is None:
        return functools.partial(grad, argnums=argnums, has_aux=has_aux)
    both = value_and_grad(function, argnums, has_aux)

    def call(*args, **kwargs):
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    call.transforms = both.transforms
    return _as_function(call, function)


# ---------------------------------------------------------------- vjp and jvp


def _language(leaves):
    """(is NumPy, tracked?) of plain arguments."""
    return uses_numpy(leaves), is_recorded(leaves)


def _plain(value, is_numpy):
    if not is_numpy or not isinstance(value, Tensor):
        return value
    return value._value


def vjp(function: Callable, *primals) -> tuple[Any, Callable]:
    """(function(*primals), pullback): pullback(cotangent) gives one cotangent per primal.

    Shapes  the cotangent has the output's shape (and nesting); the answers those of the primals
    Like    jax.vjp

    >>> import tapejit as tj
    >>> value, pullback = tj.vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> float(value), tuple(map(float, pullback(1.0)))
    (6.0, (3.0, 2.0))
    """
    arguments = Arguments(tuple(range(len(primals))))
    for i, primal in enumerate(primals):
        arguments.check(primal, i)
    leaves: list = []
    trees.flatten(primals, leaves)
    is_numpy, inner = _language(leaves)
    with enable_grad(), _float64_if(is_numpy):
        aliased, aliases = _with_aliases(arguments, primals)
        result = function(*aliased)
    outputs: list = []
    structure = trees.flatten(result, outputs)

    def pullback(cotangent):
        seeds: list = []
        if trees.flatten(cotangent, seeds, static_ints=False) != structure and len(seeds) != len(outputs):
            raise ShapeError("vjp: the cotangent is nested differently from the output")
        pairs = [
            (o, _seed_like(o, s))
            for o, s in zip(outputs, seeds, strict=True)
            if isinstance(o, Tensor) and o.requires_grad
        ]
        with enable_grad():
            results = (
                engine.gradients_of(
                    [o for o, _ in pairs], aliases, [s for _, s in pairs],
                    retain_graph=True, create_graph=inner or any(s._tracked for _, s in pairs),
                )
                if pairs
                else [None] * len(aliases)
            )  # fmt: skip
        answers = [_zeros(x) if g is None else g for g, x in zip(results, aliases, strict=True)]
        typed = [
            float(a._value) if type(leaf) is float and is_numpy and not a._tracked else _plain(a, is_numpy and not a._tracked)
            for a, leaf in zip(answers, leaves, strict=True)
        ]
        return arguments.gather(primals, typed)

    plain = [_leave_vjp(o, is_numpy, inner) for o in outputs]
    return trees.unflatten(structure, plain), pullback


def _leave_vjp(output, is_numpy, inner):
    if not isinstance(output, Tensor) or inner:
        return output
    return np.array(output._value)[()] if is_numpy else wrap(np.array(output._value)[()])


class _float64_if:
    """Python floats are float64 inside, if NumPy is spoken."""

    def __init__(self, is_numpy):
        self.is_numpy = is_numpy

    def __enter__(self):
        self.before = dtypes.get_default_dtype()
        if self.is_numpy:
            dtypes.set_default_dtype(dtypes.float64)

    def __exit__(self, *exception):
        dtypes.set_default_dtype(self.before)
        return False


def _seed_like(output, seed):
    if not isinstance(seed, Tensor):
        seed = wrap(np.asarray(seed, output._aval.dtype.dtype)[()])
    if seed._aval.shape != output._aval.shape:
        raise ShapeError(
            f"cotangent of shape {seed._aval.shape} for an output of shape {output._aval.shape}"
        )
    return seed if seed._aval.dtype is output._aval.dtype else seed.to(output._aval.dtype)


def jvp(function: Callable, primals: Sequence, tangents: Sequence) -> tuple[Any, Any]:
    """(function(*primals), derivative along tangents), in one forward sweep.

    Shapes  tangents as primals; the answer as the output
    Like    jax.jvp

    >>> import tapejit as tj
    >>> value, slope = tj.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> float(value), float(slope)
    (9.0, 6.0)
    """
    primals, tangents = tuple(primals), tuple(tangents)
    _check_tangents(primals, tangents)
    leaves: list = []
    trees.flatten((primals, tangents), leaves)
    if is_recorded(leaves):
        return _inner_jvp(function, primals, tangents)
    transform = _remembered(function, "jvp", _derive_tangent)
    seeds: list = []
    trees.flatten(tangents, seeds)
    return _run_jvp(transform, primals, seeds)


def _run_jvp(transform, primals, tangents):
    arrays = [array_of(t) for t in tangents]

    def seeds(recorded):
        return [
            np.asarray(t, recorded.recording.kind(row).aval.dtype.dtype)
            for t, row in zip(arrays, recorded.inputs, strict=True)
        ]

    leaves, recorded, results = transform.call(primals, {}, seeds)
    n = len(results) // 2
    value = _rebuild(recorded, iter(results[:n]), leaves)
    filled = [
        np.zeros(np.shape(v), np.asarray(v).dtype)[()] if t is None else t
        for v, t in zip(results[:n], results[n:], strict=True)
    ]
    return value, _tangent_tree(recorded, filled, leaves)


def _tangent_tree(recorded, tangents, leaves):
    rows = iter(tangents)
    zeros = [
        next(rows) if isinstance(o, OutputRow) else np.zeros(np.shape(o)) for o in recorded.outputs
    ]
    is_numpy = uses_numpy(leaves)
    plain = all(type(x) is float for x in leaves)
    values = [v.item() if is_numpy and plain and np.ndim(v) == 0 else leave(v, None, is_numpy) for v in zeros]
    return trees.unflatten(recorded.structure, values)


def _derive_tangent(recorded: Trace) -> Derived:
    rows = tuple(int(row) for row in recorded.outputs if isinstance(row, OutputRow))
    sweep = autodiff.forward(recorded.recording, recorded.inputs, rows)
    return Derived(sweep.tape, sweep.seeds, (*rows, *sweep.results))


def _check_tangents(primals, tangents):
    xs: list = []
    ts: list = []
    same = trees.flatten(primals, xs) == trees.flatten(tangents, ts)
    if not same or [np.shape(array_of(x)) for x in xs] != [np.shape(array_of(t)) for t in ts]:
        raise ShapeError(
            "jvp: tangents must be nested as the primals, with the same shapes\n"
            f"  primals   {[np.shape(array_of(x)) for x in xs]}\n"
            f"  tangents  {[np.shape(array_of(t)) for t in ts]}"
        )


def _inner_jvp(function, primals, tangents):
    """J t as the derivative of (v -> vᵀ J) · t, so that it is recorded as operations."""
    arguments = Arguments(tuple(range(len(primals))))
    directions: list = []
    trees.flatten(tangents, directions)
    with enable_grad():
        aliased, aliases = _with_aliases(arguments, primals)
        result = function(*aliased)
        outputs: list = []
        structure = trees.flatten(result, outputs)
        pushed = [_push_inner(o, aliases, directions) for o in outputs]
    return result, trees.unflatten(structure, pushed)


def _push_inner(output, aliases, directions):
    if not isinstance(output, Tensor) or not output.requires_grad:
        return wrap(np.zeros(np.shape(output))[()])
    dummy = wrap(np.zeros(output._aval.shape, output._aval.dtype.dtype)[()], tracked=True)
    pulled = engine.gradients_of([output], aliases, [dummy], retain_graph=True, create_graph=True)
    total = None
    for gradient, direction in zip(pulled, directions, strict=True):
        if gradient is not None and gradient.requires_grad:
            direction = direction if isinstance(direction, Tensor) else from_array(np.asarray(direction)[()])
            part = (gradient * direction.to(gradient._aval.dtype)).sum()
            total = part if total is None else total + part
    if total is None:
        return _zeros(output)
    (result,) = engine.gradients_of([total], [dummy], None, retain_graph=True, create_graph=True)
    return _zeros(output) if result is None else result


# ---------------------------------------------------------------- hvp, jacobian, hessian


def _derive_hvp(recorded: Trace) -> Derived:
    root = _scalar_output(recorded, False)
    if root is None:
        return Derived(recorded.recording, (), (-1,) * len(recorded.inputs))
    reverse = autodiff.reverse(recorded.recording, (root,), recorded.inputs, unit_seed=True)
    rows = tuple(row for row in reverse.results if row >= 0)
    forward = autodiff.forward(reverse.tape, recorded.inputs, rows)
    tangents = iter(forward.results)
    results = tuple(-1 if row < 0 else next(tangents) for row in reverse.results)
    return Derived(forward.tape, forward.seeds, results)


def hvp(function: Callable, primals: Sequence, v: Sequence) -> Any:
    """The Hessian of a scalar function times a vector, without the Hessian.

    Shapes  v as primals; the answer as primals (one array for one primal)
    Source  Pearlmutter 1994: forward mode over reverse mode

    >>> import tapejit as tj
    >>> tj.hvp(lambda x: x**3, (2.0,), (1.0,))
    12.0
    """
    primals, v = tuple(primals), tuple(v)
    _check_tangents(primals, v)
    leaves: list = []
    trees.flatten((primals, v), leaves)
    arguments = Arguments(tuple(range(len(primals))) if len(primals) != 1 else 0)
    if is_recorded(leaves):
        gradient = grad(function, arguments.argnums if len(primals) != 1 else 0)
        return _inner_jvp(gradient, primals, v)[1]
    results = _run_hvp(_remembered(function, "hvp", _derive_hvp), primals, v)
    return arguments.gather(primals, results)


def _run_hvp(transform, primals, v):
    directions: list = []
    trees.flatten(v, directions)
    arrays = [array_of(t) for t in directions]

    def seeds(recorded):
        kinds = [recorded.recording.kind(row).aval.dtype.dtype for row in recorded.inputs]
        return [np.asarray(a, dtype) for a, dtype in zip(arrays, kinds, strict=True)]

    leaves, _, results = transform.call(primals, {}, seeds)
    is_numpy = uses_numpy(leaves)
    filled = [
        np.zeros(np.shape(array_of(x)), array_of(x).dtype)[()] if r is None else r
        for r, x in zip(results, leaves, strict=True)
    ]
    return [leave(r, x, is_numpy) for r, x in zip(filled, leaves, strict=True)]


def jacobian(function: Callable | None = None, argnums=0) -> Callable:
    """All first derivatives: per output leaf an array of shape output.shape + argument.shape.

    argnums  which positional arguments: a number, or several (then a tuple)
    Like     jax.jacobian; forward mode where there are fewer inputs than outputs

    >>> import numpy as np, tapejit as tj
    >>> tj.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    if function is None:
        return functools.partial(jacobian, argnums=argnums)
    arguments = Arguments(argnums)
    cache: dict = {}

    def call(*args, **kwargs):
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

    call.transforms = cache
    return _as_function(call, function)


def _derive_pullback(recorded: Trace, wanted) -> Derived:
    rows = tuple(int(row) for row in recorded.outputs if isinstance(row, OutputRow))
    roots = tuple(r for r in rows if recorded.recording.kind(r).aval.dtype.is_floating_point)
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

    leaves, recorded, first = transform.call(args, kwargs, seeds_for(0))
    sizes = [recorded.recording.kind(row).aval.size for row in _float_rows(recorded)]
    rows = [first] if sum(sizes) else []
    rows += [transform.call(args, kwargs, seeds_for(i))[2] for i in range(1, sum(sizes))]
    return _assemble(recorded, rows, arguments, args, leaves, wanted)


def _float_rows(recorded):
    return [
        int(row)
        for row in recorded.outputs
        if isinstance(row, OutputRow)
        and recorded.recording.kind(int(row)).aval.dtype.is_floating_point
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
        aliased, aliases = _with_aliases(arguments, args)
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
    rows = []
    for i in range(n):
        seed = np.zeros(n, output._aval.dtype.dtype)
        seed[i] = 1
        rows.append(_inner_gradient(output, aliases, wrap(seed.reshape(shape)[()])))
    return [
        FUNCTIONS["stack"]([row[k] for row in rows]).reshape((*shape, *x._aval.shape))
        if rows
        else wrap(np.zeros((*shape, *x._aval.shape), x._aval.dtype.dtype))
        for k, x in enumerate(aliases)
    ]


def hessian(function: Callable | None = None, argnums=0) -> Callable:
    """All second derivatives of a scalar function: shape argument.shape twice.

    Like  jax.hessian: the Jacobian of the gradient

    >>> import numpy as np, tapejit as tj
    >>> tj.hessian(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    if function is None:
        return functools.partial(hessian, argnums=argnums)
    return _as_function(jacobian(grad(function, argnums), argnums), function)
