"""Random tensors: uniform, normal, integers, permutations, and samples of given distributions.

All of them are arithmetic on what draws.py gives, so a sample is differentiable by the parameters
wherever it is a smooth function of them (`normal`), and compiled functions draw anew.  Tensors on
a GPU are drawn there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.dtypes import DType
from tapejit.errors import ArgumentError, DtypeError, NotDifferentiable, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import CPU, common_device
from tapejit.tensor import draws
from tapejit.tensor.attributes import place
from tapejit.tensor.core import Tensor, new_leaf, to_place
from tapejit.tensor.creation import lengths, named_dtype, publish
from tapejit.tensor.front import FUNCTIONS, export, method
from tapejit.tensor.guards import read
from tapejit.tensor.inplace import change
from tapejit.tensor.ordering import searchsorted, topk
from tapejit.tensor.random import drawn
from tapejit.tensor.recording import state
from tapejit.tensor.scanning import cumsum


def _made(name, result: Tensor, requires_grad) -> Tensor:
    if requires_grad:
        if not result._aval.dtype.is_inexact:
            raise NotDifferentiable(
                "Only Tensors of floating point and complex dtype can require gradients"
            )
        if state.parked.is_trace:
            state.parked.impure = f"makes a random leaf ({name})"
        result = new_leaf(result._value)
    return result


def _check_inexact(name, dtype: np.dtype):
    if dtype.kind not in "fc":
        raise DtypeError(f'"{name}" not implemented for {dtype}\n  try  randint, or a float dtype')


def _function(name, draw, summary, example):
    def function(
        *size, generator=None, dtype=None, device=None, requires_grad=False, **named_size
    ) -> Tensor:
        given = (named_size.pop("size"),) if "size" in named_size else size
        if named_size:
            raise TypeError(
                f"{name}() got an unexpected keyword argument {next(iter(named_size))!r}"
            )
        chosen = named_dtype(dtype)
        _check_inexact(name, chosen)
        result = draw(lengths(name, given), chosen, generator, place(device))
        return _made(name, result, requires_grad)

    def like(input, *, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
        chosen = named_dtype(dtype, input._aval.dtype)
        _check_inexact(name, chosen)
        there = place(device, input._aval.device)
        return _made(name, draw(input._aval.shape, chosen, generator, there), requires_grad)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}

Shapes  as given, number by number or as one sequence
Dtypes  `dtype`, else the default float dtype
Like    torch.{name}

>>> import tapejit as tj
{example}"""
    like.__name__ = like.__qualname__ = f"{name}_like"
    like.__doc__ = f"""As `{name}`, in the shape and dtype of another tensor.

Like    torch.{name}_like

>>> import tapejit as tj
>>> tj.{name}_like(tj.zeros(2, 3, dtype=tj.float64)).dtype
torch.float64"""
    FUNCTIONS[name], FUNCTIONS[f"{name}_like"] = function, like
    return function


rand = _function(
    "rand",
    draws.uniform,
    "Random numbers, uniform in [0, 1).",
    """>>> x = tj.rand(1000)
>>> bool((x >= 0).all() and (x < 1).all())
True""",
)
randn = _function(
    "randn",
    draws.normal,
    "Random numbers of mean 0 and variance 1, normally distributed.",
    """>>> _ = tj.manual_seed(0)
>>> bool(tj.randn(1000).mean().abs() < 0.2)
True""",
)


@publish
def randint(
    low, high=None, size=None, *, generator=None, dtype=None, device=None, requires_grad=False
) -> Tensor:  # fmt: skip
    """Random integers in [low, high).

    >>> import tapejit as tj
    >>> x = tj.randint(0, 6, (100,))
    >>> bool((x >= 0).all() and (x < 6).all())
    True
    """
    if size is None:
        low, high, size = 0, low, high
    chosen = named_dtype(dtype, dtypes.int64)
    shape = lengths("randint", (size,))
    return _integers("randint", low, high, shape, chosen, generator, requires_grad, place(device))


@publish
def randint_like(input, low, high=None, *, generator=None, dtype=None, device=None) -> Tensor:
    """Random integers in [low, high), in the shape and dtype of another tensor.

    >>> import tapejit as tj
    >>> tj.randint_like(tj.zeros(2, 3), 5).shape
    torch.Size([2, 3])
    """
    low, high = (0, low) if high is None else (low, high)
    chosen = named_dtype(dtype, input._aval.dtype)
    there = place(device, input._aval.device)
    return _integers("randint_like", low, high, input._aval.shape, chosen, generator, False, there)


def _integers(name, low, high, shape, dtype, generator, requires_grad, device):
    low, high = int(low), int(high)
    if low >= high:
        raise ArgumentError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    return _made(name, draws.integers(low, high, shape, dtype, generator, device), requires_grad)


@publish
def randperm(n, *, generator=None, dtype=None, device=None) -> Tensor:
    """The numbers 0 … n-1 in random order.

    >>> import tapejit as tj
    >>> tj.randperm(4).sort().values
    tensor([0, 1, 2, 3])
    """
    chosen, there = named_dtype(dtype, dtypes.int64), place(device)
    if there == CPU:
        return drawn(lambda g: np.asarray(g.permutation(n), chosen), generator)
    # equal keys, of which there is one pair in 2**65 / n**2 permutations, stay in order
    keys = draws.integers(-(1 << 63), 1 << 63, (n,), np.dtype(np.int64), generator, there)
    return FUNCTIONS["argsort"](keys).to(dtypes.from_numpy(chosen))


@publish
def permutation(x, *, generator=None) -> Tensor:
    """The parts along the first axis in random order, or the numbers below x (NumPy's).

    >>> import tapejit as tj
    >>> tj.permutation(tj.tensor([3.0, 1.0, 2.0])).sort().values
    tensor([1., 2., 3.])
    """
    if isinstance(x, Tensor):
        return x[randperm(x.shape[0], generator=generator, device=x._aval.device)]
    return randperm(int(x), generator=generator)


# ---------------------------------------------------------------- distributions


@publish
def normal(
    mean, std: Any = 1.0, size=None, *, generator=None, dtype=None, device=None, requires_grad=False
) -> Tensor:  # fmt: skip
    """Normally distributed numbers: mean + std * randn, with slopes by both if they are tensors.

    >>> import tapejit as tj
    >>> _ = tj.manual_seed(0)
    >>> x = tj.normal(10.0, 0.5, (1000,))
    >>> bool((x.mean() - 10.0).abs() < 0.1)
    True
    >>> mean = tj.zeros(3, requires_grad=True)
    >>> tj.normal(mean, 2.0).sum().backward()
    >>> mean.grad
    tensor([1., 1., 1.])
    """
    negative: Any = std < 0
    if bool(negative.any() if isinstance(std, Tensor) else negative):
        raise ArgumentError(f"normal expects all elements of std >= 0.0, but got {std}")
    noise = _noise("normal", randn, (mean, std), size, generator, dtype, device)
    result = noise * std + mean
    return result.requires_grad_() if requires_grad else result


@publish
def uniform(
    low: Any = 0.0,
    high: Any = 1.0,
    size=None,
    *,
    generator=None,
    dtype=None,
    device=None,
    requires_grad=False,
) -> Tensor:
    """Numbers uniform in [low, high): low + (high - low) * rand, with slopes by both if tensors.

    >>> import tapejit as tj
    >>> x = tj.uniform(-1.0, 1.0, (100,))
    >>> bool((x.abs() <= 1).all())
    True
    >>> low = tj.zeros(3, requires_grad=True)
    >>> x = tj.uniform(low, low + 2.0)
    >>> x.sum().backward()
    >>> low.grad
    tensor([1., 1., 1.])
    """
    noise = _noise("uniform", rand, (low, high), size, generator, dtype, device)
    result = noise * (high - low) + low
    return result.requires_grad_() if requires_grad else result


def _noise(name, draw, parameters, size, generator, dtype, device):
    """Standard numbers for parameters that are tensors, or numbers with a size."""
    tensors = [p for p in parameters if isinstance(p, Tensor)]
    if not tensors:
        if size is None:
            raise ArgumentError(f"{name}: two numbers need a size\n  try  size=(...)")
        return draw(size, generator=generator, dtype=dtype, device=device)
    if size is not None:
        raise ArgumentError(f"{name}: tensors have a shape already\n  try  it without size")
    kind = tensors[0]._aval.dtype
    if not kind.is_inexact:
        raise DtypeError(f'"{name}" not implemented for {kind}\n  try  .float()')
    shape = np.broadcast_shapes(*(p._aval.shape for p in tensors))
    there = common_device(p._aval for p in tensors)
    return draw(shape, generator=generator, dtype=kind, device=there)


def _check_probabilities(name, p: Any):
    """Raise unless all are within [0, 1]; a trace remembers that they were."""
    inside: Any = (p >= 0) & (p <= 1)
    if not bool(inside.all() if isinstance(p, Tensor) else inside):
        raise ArgumentError(f"{name}: Expected p_in >= 0 && p_in <= 1 to be true, but got {p}")


def _coins(p: Any, shape, generator, device) -> Tensor:
    """True with probability p, in a shape."""
    kind = p._aval.dtype.dtype if isinstance(p, Tensor) else np.dtype(np.float64)
    kind = kind if kind in (np.float32, np.float64) else np.dtype(np.float32)
    return draws.hits(p, tuple(shape), kind, generator, device)


@export("bernoulli")
def bernoulli(input, p=None, *, generator=None) -> Tensor:
    """1 with the given probabilities (or with p), else 0; without slope.

    >>> import tapejit as tj
    >>> tj.bernoulli(tj.tensor([0.0, 1.0, 1.0]))
    tensor([0., 1., 1.])
    """
    if p is None and not input._aval.dtype.is_floating_point:
        raise DtypeError(f"bernoulli: probabilities are floats, got {input.dtype}")
    chances = input.detach() if p is None else p
    _check_probabilities("bernoulli", chances)
    return _coins(chances, input._aval.shape, generator, input._aval.device).to(input.dtype)


@export("poisson", method=False)
def poisson(input, generator=None) -> Tensor:
    """Poisson distributed numbers of the given rates; without slope.

    >>> import tapejit as tj
    >>> tj.poisson(tj.zeros(2))
    tensor([0., 0.])
    """
    if not input._aval.dtype.is_floating_point:
        raise DtypeError(f'"poisson" not implemented for {input.dtype}\n  try  .float()')
    device = input._aval.device
    if device != CPU:
        return _poisson_on_gpu(input, generator, device)
    if np.any(np.asarray(input._value) < 0):
        raise ArgumentError(_NEGATIVE_RATE)
    if input._tracked and state.parked.is_trace:
        read(input)
        state.parked.impure = "draws numbers of rates that it computes (poisson)"
    kind = input._aval.dtype.dtype
    rates = input._value
    return drawn(lambda g: np.asarray(g.poisson(rates), kind), generator)


_NEGATIVE_RATE = "invalid Poisson rate, expected rate to be non-negative"


def _poisson_on_gpu(input, generator, device) -> Tensor:
    """Rates that are computed are no matter there: what is drawn is a key."""
    if bool((input < 0).any()):
        raise ArgumentError(_NEGATIVE_RATE)
    known = input._aval.dtype
    wide = dtypes.float64 if known is dtypes.float64 else dtypes.float32
    attrs = input._aval.shape, wide.name
    rates = input.detach().to(wide)
    return draws.from_key("random_poisson", (rates,), attrs, generator, device).to(known)


@export("multinomial")
def multinomial(input, num_samples, replacement=False, *, generator=None) -> Tensor:
    """Places drawn with probabilities proportional to the weights in a row.

    >>> import tapejit as tj
    >>> tj.multinomial(tj.tensor([0.0, 1.0, 0.0]), 3, replacement=True)
    tensor([1, 1, 1])
    >>> tj.multinomial(tj.tensor([0.5, 0.0, 0.5]), 2).sort().values
    tensor([0, 2])
    """
    if input._aval.ndim not in (1, 2):
        raise ShapeError("multinomial: prob_dist must be 1 or 2 dim")
    if not input._aval.dtype.is_floating_point:
        raise DtypeError(
            f"multinomial only supports floating-point dtypes for input, got: {input.dtype}"
        )
    n = input._aval.shape[-1]
    if num_samples <= 0 or (num_samples > n and not replacement):
        raise ArgumentError(
            "cannot sample n_sample <= 0 samples" if num_samples <= 0
            else "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )  # fmt: skip
    weights = input.detach()
    if not bool(((weights >= 0) & weights.isfinite()).all()):
        raise ArgumentError("probability tensor contains either `inf`, `nan` or element < 0")
    if not bool((weights.sum(-1) > 0).all()):
        raise ArgumentError("invalid multinomial distribution (sum of probabilities <= 0)")
    if not replacement:
        if not bool(((weights > 0).sum(-1) >= num_samples).all()):
            raise ArgumentError(
                "invalid multinomial distribution (with replacement=False, not enough non-negative "
                "category to sample)"
            )
        # the first to arrive of independent exponential clocks: Efraimidis and Spirakis 2006
        waits = _standard(weights, draws.exponential, generator)
        return topk(weights / waits, num_samples, -1).indices
    shape = (*input._aval.shape[:-1], num_samples)
    heights = cumsum(weights.double(), -1)
    top = heights.narrow(-1, n - 1, 1)
    shares = draws.uniform(shape, np.dtype(np.float64), generator, input._aval.device)
    places = searchsorted(heights, shares * top, right=True)
    # what is rounded up to the sum belongs to the last place that adds to it
    return FUNCTIONS["minimum"](places, searchsorted(heights, top))


# ---------------------------------------------------------------- in place


def _fill(x, source, name) -> Tensor:
    """Random numbers into x's memory."""
    source = to_place(source, x._aval.device).to(x.dtype)
    return change(x, OPS["copy_into"], (x, source), name=f"{name}Backward0")


def _standard(x, draw, generator) -> Any:
    """Numbers in x's shape: in float64, on a GPU in float32 where x is no finer."""
    known, device = x._aval.dtype, x._aval.device
    is_single = device != CPU and known in (dtypes.float16, dtypes.float32)
    kind = np.dtype(np.float32 if is_single else np.float64)
    return draw(x._aval.shape, kind, generator, device)


@method("normal_")
def normal_(x, mean=0.0, std=1.0, *, generator=None) -> Tensor:
    """Normally distributed elements, in place.

    >>> import tapejit as tj
    >>> _ = tj.manual_seed(0)
    >>> x = tj.empty(1000).normal_(10.0, 0.5)
    >>> bool((x.mean() - 10.0).abs() < 0.1)
    True
    """
    return _fill(
        x, draws.normal(x._aval.shape, _kind(x), generator, x._aval.device) * std + mean, "Normal"
    )


def _kind(x) -> np.dtype:
    kind = x._aval.dtype
    return kind.dtype if kind.is_inexact else np.dtype(np.float64)


@method("uniform_")
def uniform_(x, low=0.0, high=1.0, *, generator=None) -> Tensor:
    """Elements uniform in [low, high), in place.

    >>> import tapejit as tj
    >>> x = tj.empty(100).uniform_(-1.0, 1.0)
    >>> bool((x.abs() <= 1).all())
    True
    """
    if low > high:
        raise ArgumentError(
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}"
        )
    source = draws.uniform(x._aval.shape, _kind(x), generator, x._aval.device)
    return _fill(x, source * (high - low) + low, "Uniform")


@method("bernoulli_")
def bernoulli_(x, p=0.5, *, generator=None) -> Tensor:
    """Elements 1 with probability p, else 0, in place.

    >>> import tapejit as tj
    >>> tj.empty(3).bernoulli_(1.0)
    tensor([1., 1., 1.])
    """
    _check_probabilities("bernoulli_", p)
    return _fill(x, _coins(p, x._aval.shape, generator, x._aval.device), "Bernoulli")


@method("exponential_")
def exponential_(x, lambd=1.0, *, generator=None) -> Tensor:
    """Exponentially distributed elements of rate lambd, in place.

    >>> import tapejit as tj
    >>> bool((tj.empty(100).exponential_() >= 0).all())
    True
    """
    if not lambd > 0:
        raise ArgumentError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _fill(x, _standard(x, draws.exponential, generator) / lambd, "Exponential")


@method("cauchy_")
def cauchy_(x, median=0.0, sigma=1.0, *, generator=None) -> Tensor:
    """Elements of Cauchy's distribution, in place.

    >>> import tapejit as tj
    >>> tj.empty(3).cauchy_().shape
    torch.Size([3])
    """
    if not sigma > 0:
        raise ArgumentError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    return _fill(x, _standard(x, draws.cauchy, generator) * sigma + median, "Cauchy")


@method("log_normal_")
def log_normal_(x, mean=1.0, std=2.0, *, generator=None) -> Tensor:
    """Elements whose logarithm is normally distributed, in place.

    >>> import tapejit as tj
    >>> bool((tj.empty(100).log_normal_() > 0).all())
    True
    """
    source = (_standard(x, draws.normal, generator) * std + mean).exp()
    return _fill(x, source, "LogNormal")


@method("geometric_")
def geometric_(x, p, *, generator=None) -> Tensor:
    """How many throws it takes until the first hit of probability p, in place.

    >>> import tapejit as tj
    >>> tj.empty(2).geometric_(1.0)
    tensor([1., 1.])
    """
    if not 0 < p <= 1:
        raise ArgumentError(f"geometric_ expects p to be in (0, 1], but got p={p}")
    shape, device = x._aval.shape, x._aval.device
    if device == CPU:
        source = drawn(lambda g: np.asarray(g.geometric(p, shape)), generator)
    elif p == 1:
        source = FUNCTIONS["ones_like"](x)
    else:  # as many as fit into the time to the first hit of a clock of that rate
        source = (_standard(x, draws.exponential, generator) / -math.log1p(-p)).ceil()
    return _fill(x, source, "Geometric")


@method("random_")
def random_(x, low=0, high=None, *, generator=None) -> Tensor:
    """Whole numbers in [low, high), or up to the largest that the dtype has exactly, in place.

    >>> import tapejit as tj
    >>> bool((tj.empty(100).random_(3, 5) < 5).all())
    True
    """
    kind = x._aval.dtype
    low, high = (int(low), _limit(kind)) if high is None else (int(low), int(high))
    if low >= high:
        raise ArgumentError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    long = np.dtype(np.int64)
    source = draws.integers(low, high, x._aval.shape, long, generator, x._aval.device)
    return _fill(x, source, "Random")


def _limit(kind: DType) -> int:
    """One more than the largest number up to which a dtype has all of them."""
    if kind.is_inexact:
        return (1 << np.finfo(kind.dtype).nmant + 1) + 1
    return 2 if kind is dtypes.bool_ else int(np.iinfo(kind.dtype).max) + 1
