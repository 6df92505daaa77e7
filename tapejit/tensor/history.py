"""The autograd side of a tensor: requires_grad, grad_fn, grad, hooks, backward, detach.

Names, words of errors and the classes that `grad_fn` shows are PyTorch's.  The engine is in
`backward`, changes in place in `inplace`.
"""

from __future__ import annotations

import itertools
import warnings
import weakref
from typing import Any

from tapejit.errors import AutogradError, NotDifferentiable
from tapejit.registry import OPS
from tapejit.tensor import backward as engine
from tapejit.tensor.core import Tensor, apply, optional, storage, wrap
from tapejit.tensor.front import attribute, method
from tapejit.tensor.guards import in_trace
from tapejit.tensor.inplace import adopt_row, base_of, name_of, view
from tapejit.tensor.recording import Recording, Unnoted, live, state

# ---------------------------------------------------------------- requires_grad and grad_fn


def tracks(x) -> bool:
    """Whether operations on a tensor are recorded: its `requires_grad`.

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0, 2.0], requires_grad=True)
    >>> x.requires_grad, (2 * x).requires_grad, x.detach().requires_grad
    (True, True, False)
    """
    if not (x._tracked and x._aval.dtype.is_inexact):
        return False
    tape = x._tape
    return tape is None or not tape.is_trace or _has_history(tape, x._row)


def _has_history(trace, row) -> bool:
    """Whether a row of a trace, which records everything, leads to an input but for `detach`."""
    stack, seen = [row], set()
    while stack:
        row = stack.pop()
        if row in trace.sources:
            return True
        kind = trace.kind(row)
        if row not in seen and kind.op is not _DETACH and kind.aval.dtype.is_inexact:
            seen.add(row)
            stack += trace.operands(row)
    return False


_DETACH = OPS["detach"]


def set_requires_grad(x, value=True) -> Tensor:
    """Begin or stop recording operations on a leaf; the tensor itself is returned.

    Errors  NotDifferentiable for integers; AutogradError for a non-leaf that would stop

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0, 2.0]).requires_grad_()
    >>> x
    tensor([1., 2.], requires_grad=True)
    """
    value = bool(value)
    if value and not x._aval.dtype.is_inexact:
        raise NotDifferentiable("only Tensors of floating point dtype can require gradients")
    if x._tape is not None and not value:
        raise AutogradError(
            "you can only change requires_grad flags of leaf variables. If you want to use a "
            "computed variable in a subgraph that doesn't require differentiation use "
            "var_no_grad = var.detach()."
        )
    if not value and in_trace(x):
        raise AutogradError(
            "requires_grad of an argument cannot be switched off inside a transformed function\n"
            "  try  x = x.detach()"
        )
    if x._tape is None and x._tracked != value:
        x._tracked = value
        x._stamp = None
        state.parked.forget(x)
        if value:
            state.parked.begin(x)
    return x


def _set_flag(x, value) -> None:
    set_requires_grad(x, value)


Tensor.requires_grad = property(tracks, _set_flag)
Tensor.requires_grad_ = set_requires_grad


@attribute("is_leaf")
def is_leaf(x) -> bool:
    """Whether no recorded operation made it.

    >>> import tapejit as tj
    >>> x = tj.tensor(2.0, requires_grad=True)
    >>> x.is_leaf, (x * x).is_leaf
    (True, False)
    """
    return x._tape is None or not tracks(x)


_BY_HAND = ("AccumulateGrad", "CopyBackwards", "CopySlices")


class Node:
    """A backward node, as `grad_fn` shows it: a view of one row of the tape."""

    __slots__ = ("_leaf", "_name", "_recording", "_row")

    def __init__(self, recording: Recording | None, row: int, leaf=None):
        self._recording: Any = recording  # None of a leaf
        self._row = row
        self._leaf = leaf
        self._name = "AccumulateGrad" if leaf is not None else name_of(recording, row)

    def name(self) -> str:
        """PyTorch's name of the node, with the namespace of those it writes by hand."""
        return f"torch::autograd::{self._name}" if self._name in _BY_HAND else self._name

    @property
    def next_functions(self) -> tuple:
        """((node, 0), ...) of the operands; (None, 0) where one needs no gradient."""
        if self._leaf is not None:
            return ()
        recording = self._recording
        kind = recording.kind(self._row)
        operands = recording.operands(self._row)
        if kind.op.name == "cast" and not operands:
            return ()
        if kind.op.name == "call":  # the first is what the body computed
            operands = operands[1:]
        return tuple(
            (_node_of(recording, row), 0) for row in operands if not _is_number(recording, row)
        )

    @property
    def variable(self):
        """The leaf that an AccumulateGrad node adds to."""
        return self._leaf

    def register_hook(self, hook):
        """Call `hook` on the gradient that arrives here."""
        return _add_row_hook(self._recording, self._row, hook)

    def __eq__(self, other):
        return (
            isinstance(other, Node)
            and (self._recording, self._row) == (other._recording, other._row)
            and self._leaf is other._leaf
        )

    def __hash__(self):
        return hash((id(self._recording), self._row, id(self._leaf)))

    def __repr__(self):
        return f"<{self._name} object at {id(self._recording) + self._row:#x}>"


def _is_number(recording, row):
    return recording.kind(row).op.family == "input" and row in recording.constants.values()


def _node_of(recording, row):
    if recording.kind(row).op.family == "input":
        source = recording.sources.get(row)
        if source is None:
            return None
        return _node(*source) if source.__class__ is tuple else _node(None, row, source)
    if not recording.kind(row).aval.dtype.is_inexact:
        return None
    return _node(recording, row)


def _node(recording, row, leaf=None):
    """A Node of a class with PyTorch's name."""
    name = "AccumulateGrad" if leaf is not None else name_of(recording, row)
    cls = _node_classes.get(name)
    if cls is None:
        cls = _node_classes[name] = type(name, (Node,), {"__slots__": ()})
    return cls(recording, row, leaf)


_node_classes: dict[str, type] = {}


@attribute("grad_fn")
def grad_fn(x) -> Node | None:
    """The backward node of a computed tensor; None for a leaf.

    >>> import tapejit as tj
    >>> x = tj.tensor(2.0, requires_grad=True)
    >>> y = x.exp()
    >>> y.grad_fn.name(), x.grad_fn
    ('ExpBackward0', None)
    """
    if x._tape is None or not tracks(x):
        return None
    return _node(x._tape, x._row)


# ---------------------------------------------------------------- grad


def _get_grad(x) -> Tensor | None:
    """The gradient that `backward` left on a leaf, or on a tensor told to `retain_grad`.

    >>> import tapejit as tj
    >>> x = tj.tensor(3.0, requires_grad=True)
    >>> (x * x).backward()
    >>> (x * x).backward()  # gradients add up
    >>> x.grad
    tensor(12.)
    >>> x.grad = None
    """
    known = optional(x, "_grad")
    if known is None and x._tape is not None and tracks(x) and not optional(x, "_retains"):
        warnings.warn(
            "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its "
            ".grad attribute won't be populated during autograd.backward(). If you indeed want "
            "the .grad field to be populated for a non-leaf Tensor, use .retain_grad() on the "
            "non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you access "
            "the leaf Tensor instead.",
            UserWarning,
            stacklevel=2,
        )
    return known


def _set_grad(x, value):
    if value is not None:
        if not isinstance(value, Tensor):
            raise TypeError(
                f"assigned grad expected to be a Tensor or None but got {type(value).__name__}"
            )
        if value._aval.shape != x._aval.shape:
            raise AutogradError(
                f"assigned grad has data of a different size: {list(value._aval.shape)} for a "
                f"tensor of {list(x._aval.shape)}"
            )
        if value._aval.dtype is not x._aval.dtype:
            raise AutogradError(
                f"assigned grad has data of a different type: {value.dtype} for a tensor of "
                f"{x.dtype}"
            )
    x._grad = value


def _delete_grad(x):
    x._grad = None


Tensor.grad = property(_get_grad, _set_grad, _delete_grad)


@method("retain_grad")
def retain_grad(x) -> None:
    """Keep `.grad` of a computed tensor too.

    >>> import tapejit as tj
    >>> x = tj.tensor(3.0, requires_grad=True)
    >>> y = 2 * x
    >>> y.retain_grad()
    >>> (y * y).backward()
    >>> y.grad
    tensor(12.)
    """
    if not tracks(x):
        raise AutogradError("can't retain_grad on Tensor that has requires_grad=False")
    if x._tape is not None:
        x._retains = True
        x._tape.retained[x._row] = weakref.ref(x)


@attribute("retains_grad")
def retains_grad(x) -> bool:
    """Whether `retain_grad` was called on a computed tensor.

    >>> import tapejit as tj
    >>> y = 2 * tj.tensor(3.0, requires_grad=True)
    >>> y.retain_grad()
    >>> y.retains_grad
    True
    """
    return bool(optional(x, "_retains"))


class RemovableHandle:
    """Takes a hook away again."""

    _ids = itertools.count()

    def __init__(self, remove):
        self._remove = remove
        self.id = next(self._ids)

    def remove(self) -> None:
        """Take the hook away; once is enough."""
        self._remove()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.remove()


def _add_row_hook(recording, row, hook):
    hooks = recording.hooks.setdefault(row, [])
    hooks.append(hook)

    def remove():
        if hook in hooks:
            hooks.remove(hook)

    return RemovableHandle(remove)


@method("register_hook")
def register_hook(x, hook) -> RemovableHandle:
    """Call `hook(grad)` when the gradient is computed; what it returns replaces the gradient.

    >>> import tapejit as tj
    >>> x = tj.tensor(3.0, requires_grad=True)
    >>> handle = x.register_hook(lambda gradient: gradient.clamp(max=1.0))
    >>> (x * x).backward()
    >>> x.grad
    tensor(1.)
    >>> handle.remove()
    """
    if not tracks(x):
        raise AutogradError("cannot register a hook on a tensor that doesn't require gradient")
    if x._tape is not None:
        return _add_row_hook(x._tape, x._row, hook)
    hooks = optional(x, "_hooks")
    if hooks is None:
        hooks = x._hooks = {}
    key = next(RemovableHandle._ids)
    hooks[key] = hook
    return RemovableHandle(lambda: hooks.pop(key, None))


@method("backward")
def backward(x, gradient=None, retain_graph=None, create_graph=False, inputs=None) -> None:
    """Compute the gradient of this tensor and add it to `.grad` of the leaves.

    gradient      cotangent of a non-scalar tensor, in its shape
    retain_graph  keep the saved values for another backward
    create_graph  record the backward itself, for higher derivatives
    inputs        the only tensors whose `.grad` is filled

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).backward(gradient=tj.tensor([1.0, 10.0]))
    >>> x.grad
    tensor([ 2., 40.])
    """
    if isinstance(inputs, Tensor):
        inputs = [inputs]
    if inputs is not None and len(inputs) == 0:
        raise AutogradError("`inputs` argument to `backward()` cannot be empty.")
    engine.backward(
        [x],
        None if gradient is None else [gradient],
        retain_graph=retain_graph,
        create_graph=create_graph,
        inputs=inputs,
    )


# ---------------------------------------------------------------- detach and copies


@method("detach")
def detach(x) -> Tensor:
    """The same memory, without history.

    >>> import tapejit as tj
    >>> x = tj.tensor(3.0, requires_grad=True)
    >>> (x * x.detach()).backward()  # d(3 x)/dx
    >>> x.grad
    tensor(3.)
    """
    if in_trace(x):  # a view, so that a change through it is noticed
        return view(_DETACH, x, ())
    return wrap(storage(x), x._aval.dtype)


@method("detach_")
def detach_(x) -> Tensor:
    """Cut this tensor off from its history; it becomes a leaf.

    >>> import tapejit as tj
    >>> x = tj.tensor(3.0, requires_grad=True)
    >>> y = (x * x).detach_()
    >>> y
    tensor(9.)
    """
    if base_of(x) is not x and x._tracked:
        raise AutogradError("Can't detach views in-place. Use detach() instead.")
    if in_trace(x):
        adopt_row(x, apply(_DETACH, (x,)))
        return x
    state.parked.forget(x)
    x._tape = x._stamp = None
    x._row = -1
    x._tracked = False
    return x


def _get_data(x) -> Tensor:
    """The same memory without history; changes through it are not recorded.

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0, 2.0], requires_grad=True)
    >>> x.data -= 0.5  # as an optimiser does: not recorded
    >>> x
    tensor([0.5000, 1.5000], requires_grad=True)
    """
    if in_trace(x):
        return detach(x)
    return wrap(Unnoted.view(storage(x)), x._aval.dtype)


def _set_data(x, value):
    if value._aval.dtype is not x._aval.dtype:
        raise AutogradError(f"data set to a tensor that requires gradients must be {x.dtype}")
    if in_trace(x):
        raise AutogradError(
            "the memory of an argument cannot be replaced inside a transformed function\n"
            "  try  x = value"
        )
    x._value = storage(value)
    x._aval = value._aval
    for recording in list(live):
        recording.forget(x)


Tensor.data = property(_get_data, _set_data)


@attribute("_base")
def base(x) -> Tensor | None:
    """The tensor whose memory this view shows; None if it is no view."""
    return optional(x, "_base_tensor")


@method("_is_view")
def is_view(x) -> bool:
    """Whether the tensor shows the memory of another."""
    return base_of(x) is not x
