"""In-place methods that give a tensor another shape: transpose_, squeeze_, ...

The memory stays, the tensor shows it otherwise: it becomes a view of what it was.  Where other
tensors share the memory, what it was lives on as a tensor that nobody else sees.
"""

from __future__ import annotations

import weakref

from tapejit.errors import AutogradError
from tapejit.registry import OPS
from tapejit.sites import user_site
from tapejit.tensor.core import Tensor, optional, storage
from tapejit.tensor.diagonals import diagonal
from tapejit.tensor.front import method
from tapejit.tensor.inplace import (
    base_of,
    before_change,
    check_writable,
    family_of,
    in_place,
    take_row,
    view,
)
from tapejit.tensor.parts import as_strided
from tapejit.tensor.recording import state
from tapejit.tensor.shaping import squeeze, t, transpose, unsqueeze

# ---------------------------------------------------------------- the change


def _show(x: Tensor, function, *args, **kwargs) -> Tensor:
    """Let x show its memory as `function(x, ...)`, a view, does."""
    check_writable(x)
    storage(x)
    shared = [other for other in family_of(base_of(x)) if other is not x]
    before, was_leaf, recording = _left_behind(x), x._tape is None, state.recording
    if not was_leaf and x._tracked:  # what no_grad leaves behind has its history
        state.recording = state.parked
    try:
        result = function(before, *args, **kwargs)
    finally:
        state.recording = recording
    if result is before:
        return x
    before_change(x._value, user_site())  # nothing is written, but PyTorch counts a version
    x._value, x._aval = result._value, result._aval
    take_row(x, result)
    if was_leaf and before._tracked:
        x._tape, x._tracked = None, True
    if shared:
        _become_view(x, before, shared)
        x._view = result._view
    return x


def _left_behind(x):
    """Another tensor that is what x is now."""
    other = Tensor()
    for slot in ("_value", "_aval", "_row", "_tape", "_stamp", "_tracked"):
        setattr(other, slot, getattr(x, slot))
    for slot in ("_base_tensor", "_view"):
        if hasattr(x, slot):
            setattr(other, slot, getattr(x, slot))
    return other


def _become_view(x, before, shared):
    """Let `before` stand where x stood among those that share the memory, and x behind it."""
    base = base_of(x)
    if base is x:
        base = before
        before._views = [weakref.ref(other) for other in shared]
        del x._views
    base._views = [*base._views, weakref.ref(before), weakref.ref(x)]
    for other in (*shared, x):
        if other is not base:
            other._base_tensor = base
            chain = optional(other, "_view")
            if chain is not None and chain[0] is x:
                other._view = (before, *chain[1:])


def _shape_changing(function, name):
    def method(x, *args, **kwargs):
        return _show(x, function, *args, **kwargs)

    method.__name__ = method.__qualname__ = f"{name}_"
    method.__annotations__["return"] = "Tensor"
    method.__doc__ = f"""As `{name}`, of the tensor itself, which shows its memory so from now on.

    >>> import tapejit as tj
    >>> x = tj.zeros(1, 3)
    >>> x.{_EXAMPLES[name][0]}.shape
    torch.Size({_EXAMPLES[name][1]})
    """
    setattr(Tensor, f"{name}_", method)


_EXAMPLES = {
    "squeeze": ("squeeze_()", [3]),
    "unsqueeze": ("unsqueeze_(0)", [1, 1, 3]),
    "transpose": ("transpose_(0, 1)", [3, 1]),
    "swapaxes": ("swapaxes_(0, 1)", [3, 1]),
    "swapdims": ("swapdims_(0, 1)", [3, 1]),
    "t": ("t_()", [3, 1]),
    "as_strided": ("as_strided_((2,), (1,))", [2]),
}
for _function, _names in (
    (squeeze, ("squeeze",)),
    (unsqueeze, ("unsqueeze",)),
    (transpose, ("transpose", "swapaxes", "swapdims")),
    (t, ("t",)),
    (as_strided, ("as_strided",)),
):
    for _name in _names:
        _shape_changing(_function, _name)


@method("fill_diagonal_")
def fill_diagonal_(x, fill_value, wrap=False) -> Tensor:
    """A number on the main diagonal, in place; of more than two axes of equal lengths.

    wrap  begin again below the end of a tall matrix

    >>> import tapejit as tj
    >>> tj.zeros(2, 2).fill_diagonal_(3.0)
    tensor([[3., 0.],
            [0., 3.]])
    """
    shape = x._aval.shape
    if len(shape) < 2:
        raise AutogradError("dimensions must larger than 1")
    if len(shape) > 2:
        if len(set(shape)) > 1:
            raise AutogradError("all dimensions of input must be of equal length")
        attrs = (shape[0],), (0,) * len(shape), ((1,),) * len(shape)
        view(OPS["strided"], x, attrs).fill_(fill_value)
        return x
    n, m = shape
    diagonal(x).fill_(fill_value)
    for start in range(m + 1, n, m + 1) if wrap else ():
        diagonal(x[start:]).fill_(fill_value)
    return x


# ---------------------------------------------------------------- all the others

_FROM_FUNCTIONS = (
    "absolute", "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "addr", "arccos", "arccosh",
    "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "baddbmm", "bitwise_and",
    "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
    "clamp_max", "clamp_min", "conj_physical", "copysign", "cumprod", "cumsum", "deg2rad",
    "digamma", "divide", "erfinv", "fix", "float_power", "frac", "gcd", "greater",
    "greater_equal", "heaviside", "hypot", "i0", "igamma", "igammac", "lcm", "ldexp", "lerp",
    "less", "less_equal", "lgamma", "logit", "multiply", "mvlgamma", "nan_to_num", "negative",
    "nextafter", "not_equal", "polygamma", "rad2deg", "renorm", "sgn", "sinc", "subtract",
    "tril", "triu", "true_divide", "xlogy",
)  # fmt: skip
"""PyTorch's in-place methods that are the function's result written into the memory."""


def complete() -> None:
    """Give tensors the in-place methods of functions that no module has given them yet."""
    for name in _FROM_FUNCTIONS:
        function = getattr(Tensor, name, None)
        if function is not None and not hasattr(Tensor, f"{name}_"):
            setattr(Tensor, f"{name}_", in_place(function, name))
