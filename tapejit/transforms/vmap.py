"""vmap: a function of one sample, for all samples at once.

The function is recorded on the first sample, its rows are batched (`tapejit.batching`) and replayed
as operations on all samples.  `vmap(f)` is `jit` of that: the outermost call is one compiled
program, an inner one is operations of what is outside, so that any nesting works in any order.

What Python read while the function was recorded (`if x > 0`, `int(n)`, `x.item()`) must be the same
for every sample.  Samples that read something else are recorded on their own, group by group, and
the parts put together: right for every sample, with one batch per way that was taken.

Start at `_Call.run`.  Sources: JAX's vmap and torch.func.vmap, of which the arguments are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapejit.batching import Batch
from tapejit.errors import AxisError, ShapeError, TraceError
from tapejit.registry import OPS
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.devices import moved, owned
from tapejit.tensor.core import Tensor, apply, as_data, from_array, new_leaf, to_place, wrap
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.random import drawn
from tapejit.tensor.recording import root, state
from tapejit.transforms import trees
from tapejit.transforms.gradients import jit
from tapejit.transforms.paths import reads_of
from tapejit.transforms.replay import captured, guard, pass_on, replay
from tapejit.transforms.trace import OutputRow, Trace, trace
from tapejit.transforms.wrapping import as_function

# ---------------------------------------------------------------- the public function


def vmap(
    function: Callable | None = None,
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
) -> Callable:
    """The function, written for one sample, for all samples along an axis.

    in_axes    which axis of each argument counts samples: an int for all of them, or one entry per
               argument: an int (from the back if negative), None where samples share the argument,
               or a nest of these as the argument is nested.  Keyword arguments: axis 0
    out_axes   where the axis of samples lies in results, nested as these; None: not at all, where
               a result does not depend on the samples
    axis_size  the number of samples, where no argument says it
    Shapes     (n, *sample) in, (n, *result) out; n may be 0 or 1
    Branches   samples may take different ones; each way taken is recorded and batched on its own
    Rules      of custom_vjp, custom_jvp and autograd.Function run for each sample on its own where
               a derivative is taken from outside; vmap(grad(f)) is one batch
    Random     numbers are drawn for each sample (torch.func's randomness="different")
    Errors     ShapeError where lengths disagree; AxisError where an axis is not there; TraceError
               for an in_axes that is not nested as the arguments, a function that writes to its
               argument
    Like       jax.vmap, torch.func.vmap

    >>> import numpy as np, tapejit as tj
    >>> loss = lambda w, x: np.sum(np.tanh(w @ x))
    >>> w, xs = np.ones((2, 3)), np.zeros((5, 3))
    >>> tj.vmap(tj.grad(loss), in_axes=(None, 0))(w, xs).shape  # per-sample gradients
    (5, 2, 3)
    """
    if function is None:
        return functools.partial(vmap, in_axes=in_axes, out_axes=out_axes, axis_size=axis_size)
    stated = Axes(_checked(in_axes), out_axes, axis_size)

    def batched(*args, **kwargs):
        return _Call(function, stated, args, kwargs).answer()

    return as_function(jit(as_function(batched, function)), function)


def over_samples(function: Callable, samples: Tensor) -> Any:
    """The function of each sample, as recorded operations: what an inner call of vmap(f) gives."""
    return _Call(function, Axes(0, 0, None), (samples,), {}).answer()


# ---------------------------------------------------------------- one call


class Axes:
    """What vmap was told; it does not change, so no call has to compare it."""

    __tapejit_cache__ = True

    def __init__(self, in_axes, out_axes, size):
        self.in_axes, self.out_axes, self.size = in_axes, out_axes, size


class Output(NamedTuple):
    """One leaf of the result."""

    tensor: Tensor
    is_batched: bool


class Outputs(NamedTuple):
    """The result for some samples."""

    structure: Any
    leaves: list[Output]


class _Call:
    """The arguments of one call, with axes of samples in front."""

    def __init__(self, function, stated: Axes, args, kwargs):
        self.function = function
        self.out_axes = stated.out_axes
        self.leaves: list = []
        self.structure = trees.flatten((args, kwargs), self.leaves)
        axes = _axes_of_arguments(self.structure, stated.in_axes)
        self.places = [i for i, axis in enumerate(axes) if axis is not None]
        self.mapped = [_samples_in_front(self.leaves[i], axes[i]) for i in self.places]
        self.size = _common_size(self.mapped, stated.size)

    def answer(self):
        """The nested result, with axes of samples where they are wanted."""
        structure, leaves = self.run(self.mapped, self.size)
        axes = _axes_of(structure, self.out_axes, "out_axes")
        results = [_placed(x, axis, self.size) for x, axis in zip(leaves, axes, strict=True)]
        own = {id(root(x._value)) for x in (*self.mapped, *self.leaves) if isinstance(x, Tensor)}
        return trees.unflatten(structure, [_of_its_own(x, own) for x in results])

    def run(self, mapped: list[Tensor], size: int) -> Outputs:
        """The result for these samples: of those that go the way of the first, then of the rest."""
        recorded = self.record(mapped, size)
        recording = recorded.recording
        if recording.hooks or (recording.draws and recording.guards):
            # a way that was chosen by chance must not be chosen anew
            return self.one_by_one(mapped, size)
        if size and recording.calls and (state.levels or not state.parked.is_trace):
            # a derivative from outside goes by the rules of calls, which are for one sample
            return self.one_by_one(mapped, size)
        rows = _Rows(recorded, mapped, size)
        try:
            agreeing = rows.agreeing()
        except Exception:
            if size < 2:
                raise
            return self.one_by_one(mapped, size)  # what one sample reads another cannot compute
        if agreeing.all():
            return rows.outputs()
        first, rest = np.flatnonzero(agreeing), np.flatnonzero(~agreeing)
        if not len(first):
            return self.one_by_one(mapped, size)
        groups = [self.run([_take(x, of) for x in mapped], len(of)) for of in (first, rest)]
        return _merged(groups, [len(first), len(rest)], np.argsort(np.concatenate((first, rest))))

    def record(self, mapped, size) -> Trace:
        """The function, run on the first sample."""
        samples = [_first(x, size) for x in mapped]
        if not state.parked.speaks_numpy and any(isinstance(x, Tensor) for x in self.leaves):
            leaves: Sequence = [wrap(sample) for sample in samples]
        else:
            leaves = samples
        children = (trees.Node(tuple, (), (trees.LEAF,) * len(leaves)), trees.Node(dict, (), ()))
        recorded = trace(self.on_leaves, trees.Node(tuple, (), children), leaves)
        pass_on(recorded.recording)
        if recorded.recording.mutations:
            self.check_written(recorded.recording.mutations, samples)
        return recorded

    def check_written(self, mutations: dict, samples) -> None:
        """Raise where memory was written to that is not the function's own."""
        reads = reads_of(self.function, self.structure)
        shared = [x._value for x in self.leaves if isinstance(x, Tensor)]
        is_written = any(id(root(x)) in mutations for x in (*samples, *shared, *reads.arrays))
        reason = reads.reason or ""  # the reading of the code ends where it writes
        if is_written or ": changes " in reason or " writes to " in reason:
            raise TraceError(
                f"vmap: {_name(self.function)} writes to its argument, or to what it reads from "
                "outside\n  try  x = x.copy() first, and return what was made of it"
            )

    def on_leaves(self, *samples):
        """The function of one sample's leaves; Python's numbers in its result are arrays."""
        leaves = list(self.leaves)
        for i, sample in zip(self.places, samples, strict=True):
            leaves[i] = sample
        args, kwargs = trees.unflatten(self.structure, leaves)
        found: list = []
        structure = trees.flatten(self.function(*args, **kwargs), found)
        lifted: list = []
        structure = _with_numbers_as_leaves(structure, iter(found), lifted)
        return trees.unflatten(structure, lifted)

    def one_by_one(self, mapped, size) -> Outputs:
        """The function called on each sample."""
        groups = []
        for i in range(size):
            leaves: list = []
            result = self.on_leaves(*(x[i] for x in mapped))
            structure = trees.flatten(result, leaves)
            rows = [Output(_in_front(leaf), True) for leaf in leaves]
            groups.append(Outputs(structure, rows))
        return _merged(groups, [1] * size, None)


def _name(function):
    return getattr(function, "__qualname__", repr(function))


def _first(x: Tensor, size: int):
    """The first sample, in memory of its own; ones where there is none."""
    if size:
        return owned(x._value[0])[()]
    return moved(np.ones(x._aval.shape[1:], x._aval.dtype.dtype)[()], x._aval.device)


def _take(x, places):
    return apply(OPS["index"], (x, wrap(moved(places, x._aval.device))))


def _in_front(leaf) -> Tensor:
    tensor = leaf if isinstance(leaf, Tensor) else as_data(np.asarray(leaf))
    return apply(OPS["reshape"], (tensor,), ((1, *tensor._aval.shape),))


def _with_numbers_as_leaves(structure, leaves: Iterator, found: list):
    if structure == trees.LEAF:
        found.append(next(leaves))
        return trees.LEAF
    if isinstance(structure, trees.Static):
        if structure.container in (bool, int, complex):
            found.append(np.asarray(trees.value_of(structure)))
            return trees.LEAF
        return structure
    children = tuple(_with_numbers_as_leaves(c, leaves, found) for c in structure.children)
    return structure._replace(children=children)


# ---------------------------------------------------------------- rows of all samples


class _Rows:
    """A recorded function, batched and to be replayed on all samples."""

    def __init__(self, recorded: Trace, mapped: Sequence[Tensor], size: int):
        self.recorded, self.size = recorded, size
        recording = recorded.recording
        self.batch = Batch(size)
        self.tensors: dict[int, Tensor] = {}
        given = dict(zip(recorded.inputs, mapped, strict=True))
        for row, tensor in (captured(recording) | given).items():
            one = recording.kind(row).aval
            if row in given:
                ref = self.batch.samples(row, one)
            elif row in recording.draws:
                tensor = _drawn(recording.draws[row], size, one)
                ref = self.batch.samples(row, one.on(tensor._aval.device))
            else:
                ref = self.batch.shared(row, one)
            self.tensors[ref.row] = tensor

    def replay(self, rows: Sequence[int]) -> list[Output]:
        """Rows of one sample as tensors of all."""
        sampled = self.batch.run(self.recorded.recording, rows)
        sites, origins = self.recorded.recording.sites, self.batch.origins
        found = replay(
            self.batch.builder.tape,
            self.tensors,
            [x.ref.row for x in sampled],
            lambda row: sites[origins[row]] if row in origins else None,
        )
        return [Output(t, x.is_batched) for t, x in zip(found, sampled, strict=True)]

    def agreeing(self) -> np.ndarray:
        """One flag per sample: whether Python reads of it what it read of the first."""
        agreeing = np.ones(self.size, bool)
        for row, expected, site in self.recorded.recording.guards:
            (found,) = self.replay([row])
            values = guard(found.tensor, site)
            if found.is_batched:
                agreeing &= _equal_samples(values, expected)
        return agreeing

    def outputs(self) -> Outputs:
        """The function's result for all samples."""
        leaves = []
        for output in self.recorded.outputs:
            if isinstance(output, OutputRow):
                leaves += self.replay([int(output)])
            else:
                leaves.append(Output(_constant(output), False))
        return Outputs(self.recorded.structure, leaves)


def _constant(value) -> Tensor:
    """A result that depends on no argument; a row all the same, if a trace will return it."""
    tensor = from_array(value) if isinstance(value, DeviceArray) else as_data(np.asarray(value))
    return new_leaf(tensor._value, tensor._aval.dtype) if state.parked.is_trace else tensor


def _drawn(draw, size, one):
    """Random numbers for every sample, each drawn as for one."""

    def sample(stream):
        parts = [np.asarray(draw.sample(stream), one.dtype.dtype) for _ in range(size)]
        return np.stack(parts) if parts else np.empty((0, *one.shape), one.dtype.dtype)

    device = draw.generator.device
    return to_place(drawn(sample, draw.generator, device), device)


def _equal_samples(values, expected) -> np.ndarray:
    """One flag per sample: equal in every element; nan is nan, -0.0 is not 0.0."""
    if expected.dtype.kind == "c":
        return _equal_samples(values.real, expected.real) & _equal_samples(
            values.imag, expected.imag
        )
    same = values == expected
    if expected.dtype.kind == "f":
        same &= np.signbit(values) == np.signbit(expected)
        same |= np.isnan(values) & np.isnan(expected)
    return same.reshape(len(values), -1).all(1)


# ---------------------------------------------------------------- results put together


def _merged(groups: list[Outputs], sizes: list[int], order) -> Outputs:
    """The results of several groups of samples as one; `order`: where each sample is found."""
    structure = groups[0].structure
    for group in groups[1:]:
        if group.structure != structure:
            raise TraceError(
                "vmap: samples take different branches, whose results are nested differently\n"
                f"  got  {structure}\n  and  {group.structure}"
            )
    leaves = []
    for parts in zip(*(group.leaves for group in groups), strict=True):
        shapes = {p.tensor._aval.shape[p.is_batched :] for p in parts}
        if len(shapes) > 1:
            raise ShapeError(
                "vmap: samples give results of different shapes\n"
                f"  got  {' and '.join(map(str, sorted(shapes)))}\n"
                "  try  a mask (where), which leaves the shape as it is"
            )
        whole = [_batched(p, n) for p, n in zip(parts, sizes, strict=True)]
        together = FUNCTIONS["cat"](whole, 0)
        leaves.append(Output(together if order is None else _take(together, order), True))
    return Outputs(structure, leaves)


def _batched(output: Output, size: int) -> Tensor:
    if output.is_batched:
        return output.tensor
    return apply(OPS["expand"], (output.tensor,), ((size, *output.tensor._aval.shape),))


def _placed(output: Output, axis, size) -> Tensor:
    """A result with its axis of samples at `axis`."""
    if axis is None:
        if output.is_batched:
            raise AxisError(
                "vmap: out_axes is None for a result that differs from sample to sample\n"
                "  try  an axis, or a result that no mapped argument leads to"
            )
        return output.tensor
    tensor = _batched(output, size)
    ndim = tensor._aval.ndim
    return _turned(tensor, 0, _axis_within(axis, ndim, "out_axes", tensor._aval.shape))


def _of_its_own(x: Tensor, given: set) -> Tensor:
    """A result in memory of its own, which may be written to."""
    value = x._value
    shares = id(root(value)) in given or (value.ndim and not value.flags.writeable)
    return apply(OPS["clone"], (x,)) if shares else x


# ---------------------------------------------------------------- axes


def _checked(in_axes):
    """in_axes, or TraceError: an int, None, or a tuple or list with an entry per argument."""
    if in_axes is None or isinstance(in_axes, int | tuple):
        return in_axes
    if isinstance(in_axes, list):
        return tuple(in_axes)
    raise TraceError(
        f"vmap: in_axes is an int, None, or a tuple with an entry per argument\n  got  {in_axes!r}"
    )


def _axes_of_arguments(structure, in_axes) -> list:
    """One axis or None per leaf of (args, kwargs)."""
    args, kwargs = structure.children
    if isinstance(in_axes, tuple) and len(in_axes) != len(args.children):
        raise TraceError(
            f"vmap: in_axes has {len(in_axes)} entries for {len(args.children)} positional "
            "arguments\n  try  one entry per argument; keyword arguments have axis 0"
        )
    return _axes_of(args, in_axes, "in_axes") + _axes_of(kwargs, 0, "in_axes")


def _axes_of(structure, axes, name) -> list:
    """One axis or None per leaf; `axes` is nested as the structure, down to where it is one."""
    if isinstance(structure, trees.Static):
        value = trees.value_of(structure)
        if name == "in_axes" and isinstance(value, int | complex) and isinstance(axes, int):
            raise AxisError(
                f"vmap: in_axes {axes} for the number {value!r}, which has no axes\n"
                "  try  None there: samples share the number"
            )
        return []
    if axes is None or (isinstance(axes, int) and not isinstance(axes, bool)):
        if structure == trees.LEAF:
            return [axes]
        return [a for child in structure.children for a in _axes_of(child, axes, name)]
    return [a for child, own in _paired(structure, axes, name) for a in _axes_of(child, own, name)]


def _paired(structure, axes, name):
    """The children of a structure with the entries for them."""
    if structure != trees.LEAF:
        _, names, children, _ = structure
        if isinstance(axes, dict) and set(axes) == set(names):
            return [(child, axes[key]) for key, child in zip(names, children, strict=True)]
        if isinstance(axes, list | tuple) and len(axes) == len(children):
            return list(zip(children, axes, strict=True))
        fields = [getattr(axes, key, _MISSING) for key in names if isinstance(key, str)]
        if type(axes) is structure.container and fields and _MISSING not in fields:
            return list(zip(children, fields, strict=True))
    what = "argument" if name == "in_axes" else "result"
    raise TraceError(
        f"vmap: {name} is not nested as the {what}\n  got  {axes!r}\n"
        f"  for  {structure}\n  try  an int or None for all that is below"
    )


_MISSING: Any = object()


def _samples_in_front(leaf, axis) -> Tensor:
    if not isinstance(leaf, Tensor):
        leaf = as_data(np.asarray(leaf))
    if not leaf._aval.ndim:
        raise AxisError(
            f"vmap: in_axes {axis} for a number, which has no axes\n"
            "  try  None there: samples share the number"
        )
    return _turned(leaf, _axis_within(axis, leaf._aval.ndim, "in_axes", leaf._aval.shape), 0)


def _axis_within(axis, ndim, name, shape) -> int:
    if not -ndim <= axis < ndim:
        raise AxisError(f"vmap: {name} {axis} is out of range for shape {shape}")
    return axis % ndim


def _turned(x: Tensor, source: int, to: int) -> Tensor:
    """The tensor with one axis elsewhere."""
    if source == to:
        return x
    axes = [axis for axis in range(x._aval.ndim) if axis != source]
    axes.insert(to, source)
    return apply(OPS["permute"], (x,), (tuple(axes),))


def _common_size(mapped: Sequence[Tensor], axis_size) -> int:
    sizes = {x._aval.shape[0]: None for x in mapped}
    if axis_size is not None:
        sizes[axis_size] = None
    if len(sizes) > 1:
        raise ShapeError(
            "vmap: arguments have different numbers of samples\n"
            f"  got  {' and '.join(map(str, sizes))}\n"
            "  try  in_axes: None for an argument that samples share"
        )
    if not sizes:
        raise ShapeError(
            "vmap: no argument has an axis of samples\n"
            "  try  an in_axes that is not None, or axis_size"
        )
    return next(iter(sizes))
