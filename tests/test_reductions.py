"""Reductions, scans, order and statistics against torch: values, places, dtypes, slopes.

One row of the table per call; every row runs on smooth numbers, and where ties, zeros or NaN are
its edges, on those.  NumPy's own functions of this kind are in `test_numpy_protocol`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapejit as tj

torch = pytest.importorskip("torch")

NUMBERS = np.random.default_rng(0)
SMOOTH = NUMBERS.normal(size=(3, 4, 5))
TIES = np.round(SMOOTH)
ZEROS = SMOOTH.copy()
ZEROS[0, 1] = ZEROS[1, :, 2] = ZEROS[2, 0] = ZEROS[2, 2] = 0.0
MISSING = SMOOTH.copy()
MISSING[0, 1, 2] = MISSING[2, 3, 4] = math.nan
MISSING[1, :, 1] = math.nan
ALL = (SMOOTH, TIES, ZEROS, MISSING)

ROWS = {
    "aminmax": (lambda m, x: m.aminmax(x), ALL),
    "aminmax, dim": (lambda m, x: m.aminmax(x, dim=1, keepdim=True), ALL),
    "amax, dims": (lambda m, x: m.amax(x, (0, 2)), ALL),
    "var_mean": (lambda m, x: m.var_mean(x, (0, 1)), (SMOOTH,)),
    "std_mean": (lambda m, x: m.std_mean(x, 1, correction=0, keepdim=True), (SMOOTH,)),
    "nansum": (lambda m, x: m.nansum(x, (0, 2), keepdim=True), ALL),
    "nanmean": (lambda m, x: m.nanmean(x, 2), (SMOOTH, ZEROS)),
    "nanmean, all": (lambda m, x: m.nanmean(x), ALL),
    "logsumexp, dims": (lambda m, x: m.logsumexp(x, (0, 2)), (SMOOTH, TIES)),
    "count_nonzero": (lambda m, x: m.count_nonzero(x, (0, 2)), ALL),
    "all": (lambda m, x: m.all(x, 1), (ZEROS,)),
    "any": (lambda m, x: m.any(x, 2, True), (ZEROS,)),
    "argmax, keepdim": (lambda m, x: m.argmax(x, 1, keepdim=True), (SMOOTH, ZEROS)),
    "cumsum": (lambda m, x: m.cumsum(x, 1), ALL),
    "cumprod": (lambda m, x: m.cumprod(x, 1), (SMOOTH, TIES, ZEROS)),
    "cumprod, last": (lambda m, x: m.cumprod(x, -1), (SMOOTH, TIES, ZEROS)),
    "cummax": (lambda m, x: m.cummax(x, 2), ALL),
    "cummin": (lambda m, x: m.cummin(x, 0), ALL),
    "logcumsumexp": (lambda m, x: m.logcumsumexp(x, 1), (SMOOTH, TIES)),
    "diff": (lambda m, x: m.diff(x, 2, 1), ALL),
    "diff, ends": (lambda m, x: m.diff(x, dim=0, prepend=x[:1] * 2, append=x[:2]), (SMOOTH,)),
    "trapezoid": (lambda m, x: m.trapezoid(x, dim=1), (SMOOTH,)),
    "trapezoid, dx": (lambda m, x: m.trapezoid(x, dx=0.3, dim=0), (SMOOTH,)),
    "trapezoid, x": (lambda m, x: m.trapezoid(x, x * x, dim=1), (SMOOTH,)),
    "cumulative_trapezoid": (lambda m, x: m.cumulative_trapezoid(x), (SMOOTH,)),
    "median": (lambda m, x: m.median(x), ALL),
    "median, dim": (lambda m, x: m.median(x, 1, keepdim=True), (SMOOTH, MISSING)),
    "nanmedian": (lambda m, x: m.nanmedian(x), ALL),
    "nanmedian, dim": (lambda m, x: m.nanmedian(x, 2), (SMOOTH, MISSING)),
    "mode": (lambda m, x: m.mode(x, 1), (SMOOTH, TIES, ZEROS)),
    "kthvalue": (lambda m, x: m.kthvalue(x, 2, 1, True), (SMOOTH,)),
    "topk": (lambda m, x: m.topk(x, 2, 1), (SMOOTH,)),
    "topk, smallest": (lambda m, x: m.topk(x, 3, 0, largest=False), (SMOOTH,)),
    "sort": (lambda m, x: m.sort(x, dim=1, descending=True, stable=True), ALL),
    "msort": (lambda m, x: m.msort(x), (SMOOTH,)),
    "quantile": (lambda m, x: m.quantile(x, 0.3), (SMOOTH, MISSING)),
    "quantiles": (
        lambda m, x: m.quantile(x, m.tensor([0.1, 0.7], dtype=m.float64), 1, keepdim=True), ALL,
    ),
    **{
        f"quantile, {how}": (lambda m, x, how=how: m.quantile(x, 0.37, 2, interpolation=how), ALL)
        for how in ("lower", "higher", "midpoint", "nearest")
    },
    "nanquantile": (lambda m, x: m.nanquantile(x, 0.4, dim=2), (SMOOTH, ZEROS, MISSING)),
    "unique": (lambda m, x: m.unique(x.detach()), (TIES,)),
    "unique_consecutive": (
        lambda m, x: m.unique_consecutive(x.detach(), return_inverse=True, return_counts=True),
        (TIES,),
    ),
    "renorm": (lambda m, x: m.renorm(x, 2, 1, 2.5), (SMOOTH,)),
    "cov": (lambda m, x: m.cov(x[0]), (SMOOTH,)),
    "cov, weights": (
        lambda m, x: m.cov(
            x[0], correction=0, fweights=m.tensor([1, 2, 1, 3, 1]), aweights=x[1, 1] ** 2
        ),
        (SMOOTH,),
    ),
    "corrcoef": (lambda m, x: m.corrcoef(x[0]), (SMOOTH,)),
    "searchsorted": (lambda m, x: m.searchsorted(m.sort(x[0], 1)[0], x[1]), (SMOOTH, TIES)),
    "bucketize": (lambda m, x: m.bucketize(x, m.tensor([-1.0, 0.0, 1.0]), right=True), (TIES,)),
    "isin": (lambda m, x: m.isin(x, m.tensor([1.0, -1.0])), (TIES,)),
    **{
        f"norm, {p}": (lambda m, x, p=p: m.norm(x, p, 1), (SMOOTH, ZEROS) if p > 1 else (SMOOTH,))
        for p in (0.5, 1, 1.5, 2, 3, math.inf, -math.inf, -1)
    },
    "norm, 0": (lambda m, x: m.norm(x.detach(), 0, 1), (ZEROS,)),
    "norm, all": (lambda m, x: m.norm(x), (SMOOTH, ZEROS * 0)),
}  # fmt: skip
CASES = [
    pytest.param(function, values, id=f"{name}-{i}")
    for name, (function, kinds) in ROWS.items()
    for i, values in enumerate(kinds)
]


def parts(result):
    return list(result) if isinstance(result, tuple) else [result]


def total(m, results):
    """The finite numbers among the float results, each with its own weight."""
    found = 0.0
    for part in results:
        if part.dtype in (m.float64, m.float32):
            weights = np.cos(np.arange(part.numel()) + 1.0).reshape(tuple(part.shape))
            found = found + m.where(m.isfinite(part), part, 0.0).mul(m.tensor(weights)).sum()
    return found


@pytest.mark.parametrize(("function", "values"), CASES)
def test_torch_agrees(function, values):
    theirs, ours = torch.tensor(values, requires_grad=True), tj.tensor(values, requires_grad=True)
    wanted, got = parts(function(torch, theirs)), parts(function(tj, ours))
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        assert tuple(a.shape) == tuple(b.shape) and str(a.dtype) == str(b.dtype)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-11, atol=1e-13)
    if not wanted[0].requires_grad:
        assert not got[0].requires_grad or not got[0].dtype.is_floating_point
        return
    total(torch, wanted).backward()
    total(tj, got).backward()
    gradient = theirs.grad.nan_to_num(0.0, 0.0, 0.0).numpy()
    assert np.isfinite(ours.grad.numpy()).all()
    np.testing.assert_allclose(ours.grad.numpy(), gradient, rtol=1e-9, atol=1e-12)


def second(m, function, x):
    """Slopes of a weighted sum of slopes."""
    (first,) = m.autograd.grad(total(m, parts(function(m, x))), x, create_graph=True)
    weights = np.sin(np.arange(x.numel())).reshape(tuple(x.shape))
    (found,) = m.autograd.grad((first * m.tensor(weights)).sum(), x)
    return found.numpy()


@pytest.mark.parametrize("values", (SMOOTH, ZEROS), ids=("smooth", "zeros"))
@pytest.mark.parametrize("name", ("cumprod", "logcumsumexp", "logsumexp, dims", "corrcoef"))
def test_second_order(name, values):
    if name == "corrcoef":
        values = SMOOTH
    function = ROWS[name][0]
    theirs, ours = torch.tensor(values, requires_grad=True), tj.tensor(values, requires_grad=True)
    np.testing.assert_allclose(
        second(tj, function, ours), second(torch, function, theirs), rtol=1e-9, atol=1e-11
    )


# ---------------------------------------------------------------- edges

INF = math.inf


def slope(function, values):
    x = tj.tensor(values, dtype=tj.float64, requires_grad=True)
    function(x).sum().backward()
    return x.grad.tolist()


def test_running_products_have_slopes_at_zeros_of_any_order():
    def hessian(m):
        return m.autograd.functional.hessian(
            lambda x: (m.cumprod(x, 0) * m.tensor([1.0, 2.0, 3.0, 4.0])).sum(),
            m.tensor([2.0, 0.0, 3.0, 0.0]),
        )

    assert slope(lambda x: tj.cumprod(x, 0), [2.0, 0.0, 3.0, 0.0]) == [1.0, 8.0, 0.0, 0.0]
    np.testing.assert_allclose(hessian(tj).numpy(), hessian(torch).numpy())


def test_running_logsumexp_at_infinities():
    """Nothing so far has slope 0; no overflow above it."""
    x = tj.tensor([-INF, -INF, 1000.0, 0.0, 1000.0], dtype=tj.float64)
    y = tj.logcumsumexp(x, 0).tolist()
    assert y == [-INF, -INF, 1000.0, 1000.0, 1000.0 + math.log(2)]
    got = slope(lambda x: tj.logcumsumexp(x, 0)[2:], x.tolist())
    np.testing.assert_allclose(got, [0.0, 0.0, 2.5, 0.0, 0.5], atol=1e-12)
    assert tj.logcumsumexp(tj.tensor([1.0, INF, 2.0]), 0).tolist() == [1.0, INF, INF]


def test_running_extremes_follow_nan_and_ties():
    x = tj.tensor([1.0, 3.0, 3.0, math.nan, 2.0, math.nan])
    theirs = torch.tensor(x.tolist())
    for name in ("cummax", "cummin"):
        got, wanted = getattr(tj, name)(x, 0), getattr(torch, name)(theirs, 0)
        assert got.indices.tolist() == wanted.indices.tolist()
        np.testing.assert_array_equal(got.values.numpy(), wanted.values.numpy())


def test_quantiles_beside_infinity():
    x = tj.tensor([-INF, 0.0, 1.0, INF], dtype=tj.float64)
    assert tj.quantile(x, 0.0).item() == -INF and tj.quantile(x, 1.0).item() == INF
    assert tj.quantile(x, 2 / 3).item() == pytest.approx(1.0)
    assert slope(lambda x: tj.quantile(x, 1.0), [1.0, INF, INF]) == [0.0, 0.0, 1.0]


def test_slope_by_the_quantile():
    x, q = tj.tensor([1.0, 2.0, 5.0]), tj.tensor([0.3, 0.8], requires_grad=True)
    tj.quantile(x, q).sum().backward()
    assert q.grad.tolist() == pytest.approx([2.0, 6.0])


EMPTY = {
    "nansum": (lambda m: m.nansum(m.zeros(0, 3), 0)),
    "cumsum": (lambda m: m.cumsum(m.zeros(0, 3), 0)),
    "cumprod": (lambda m: m.cumprod(m.zeros(2, 0), 1)),
    "logcumsumexp": (lambda m: m.logcumsumexp(m.zeros(2, 0), 1)),
    "diff": (lambda m: m.diff(m.zeros(0), dim=0)),
    "trapezoid": (lambda m: m.trapezoid(m.zeros(3, 1))),
    "unique": (lambda m: m.unique(m.zeros(0))),
    "searchsorted": (lambda m: m.searchsorted(m.zeros(0), m.ones(3))),
    "topk": (lambda m: m.topk(m.zeros(2, 0), 0).values),
}


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_gives_what_torch_gives(name):
    got, wanted = EMPTY[name](tj), EMPTY[name](torch)
    assert tuple(got.shape) == tuple(wanted.shape) and str(got.dtype) == str(wanted.dtype)
    np.testing.assert_array_equal(got.numpy(), wanted.numpy())


REFUSED = {
    "median of nothing": lambda m: m.median(m.zeros(0, 3), 0),
    "kthvalue": lambda m: m.kthvalue(m.zeros(3), 4),
    "topk": lambda m: m.topk(m.zeros(3), 4),
    "quantile of integers": lambda m: m.quantile(m.arange(3), 0.5),
    "quantile beyond": lambda m: m.quantile(m.zeros(3), 1.5),
    "quantile, a word": lambda m: m.quantile(m.zeros(3), 0.5, interpolation="cubic"),
    "aminmax of nothing": lambda m: m.aminmax(m.zeros(0, 2), dim=0),
    "cov of three axes": lambda m: m.cov(m.zeros(2, 2, 2)),
    "searchsorted, shapes": lambda m: m.searchsorted(m.zeros(2, 3), m.zeros(3, 3)),
    "mean of integers": lambda m: m.mean(m.arange(3)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses(name):
    for m in (torch, tj):
        with pytest.raises((RuntimeError, IndexError, ValueError)):
            REFUSED[name](m)


DTYPES = {
    "sum": lambda m, x: m.sum(x), "prod": lambda m, x: m.prod(x), "all": lambda m, x: m.all(x),
    "cumsum": lambda m, x: m.cumsum(x, 0), "cumprod": lambda m, x: m.cumprod(x, 0),
    "amax": lambda m, x: m.amax(x),
    "cummax": lambda m, x: m.cummax(x, 0)[0], "median": lambda m, x: m.median(x),
    "mode": lambda m, x: m.mode(x)[0], "sort": lambda m, x: m.sort(x)[0],
    "nansum": lambda m, x: m.nansum(x), "count_nonzero": lambda m, x: m.count_nonzero(x),
    "diff": lambda m, x: m.diff(x), "unique": lambda m, x: m.unique(x),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ("bool", "uint8", "int32", "int64", "float16", "float32"))
@pytest.mark.parametrize("name", DTYPES)
def test_dtypes_are_those_of_torch(name, dtype):
    values = [1, 0, 1, 1, 0]
    try:
        wanted = DTYPES[name](torch, torch.tensor(values, dtype=getattr(torch, dtype)))
    except (RuntimeError, NotImplementedError):
        return
    got = DTYPES[name](
        tj, tj.tensor(values, dtype=getattr(tj, f"{dtype}_" if dtype == "bool" else dtype))
    )
    assert str(got.dtype) == str(wanted.dtype)
    assert got.tolist() == wanted.tolist()


def test_places_are_found_anew_in_compiled_calls():
    edges = np.array([1.0, 3.0, 5.0])
    compiled = tj.jit(lambda x: np.searchsorted(edges, x) * x)
    for x in ([0.0, 2.0], [4.0, 6.0], [3.0, 1.0]):
        np.testing.assert_array_equal(
            compiled(np.array(x)), np.searchsorted(edges, x) * np.array(x)
        )


@pytest.mark.parametrize(
    "point", ([0.0, 0.0, 3.0], [0.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0])
)
def test_second_slopes_of_a_product_are_right_at_zeros(point):
    hessian = tj.hessian(np.prod)(np.array(point))
    a, b, c = point
    np.testing.assert_allclose(hessian, [[0, c, b], [c, 0, a], [b, a, 0]])


@pytest.mark.parametrize(
    "point", [(1.0, 4.0, 3.0, 2.0), (0.0, 1.0, 3.0, 2.0), (0.0, 0.0, 0.0, 2.0)]
)
def test_third_slopes_of_a_product_at_zeros(point):
    def third(f):
        return tj.jacobian(tj.hessian(f))(np.array(point))

    assert np.array_equal(third(np.prod), third(lambda x: x[0] * x[1] * x[2] * x[3]))
