"""Every NumPy function of tensors: NumPy's value and its slope, or an error that names a way.

The first half runs all overridable functions of NumPy over `numpy_samples`; the second holds the
options that every function takes alike: out, where, initial, dtype, lists, arrays on the left.
"""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from numpy.testing import overrides
from numpy_samples import MASK, A, V, W, samples

import tapejit as tj
from tapejit.errors import ArgumentError, DtypeError, TapejitError, TraceError
from tapejit.interop.numpy_missing import MEANINGS, nearest
from tapejit.interop.numpy_words import name_of, ours
from tapejit.tensor.front import FOR_NUMPY

MODULES = ("numpy", "numpy.linalg", "numpy.fft", "numpy.lib.stride_tricks")
FUNCTIONS = sorted(  # those of other modules are listed only if somebody has imported them
    (f for f in overrides.get_overridable_numpy_array_functions() if f.__module__ in MODULES),
    key=lambda f: f"{name_of(f)} {id(f)}",
)
UFUNCS = sorted(overrides.get_overridable_numpy_ufuncs(), key=lambda f: f.__name__)
CASES = [
    pytest.param(function, sample, id=f"{name_of(function)}-{i}")
    for function in FUNCTIONS
    for i, sample in enumerate(samples(function))
]


def plain(sample):
    """What NumPy gives, or the exception."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return sample(lambda array: array)
        except Exception as error:
            return error


def assert_same(got, wanted):
    if isinstance(wanted, tuple | list) and not np.isscalar(wanted):
        assert len(got) == len(wanted)
        for part, expected in zip(got, wanted, strict=True):
            assert_same(part, expected)
        return
    if isinstance(got, tj.Tensor):
        assert tuple(got.shape) == np.shape(wanted)
        got = got.numpy()
    if wanted is None or isinstance(wanted, str | np.dtype | type | bool):
        assert got == wanted
        return
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("function", "sample"), CASES)
def test_it_agrees_with_numpy_or_says_why_not(function, sample):
    wanted = plain(sample)
    try:
        got = sample(tj.tensor)
    except (TraceError, ArgumentError) as error:
        assert name_of(function).rpartition(".")[2] in str(error) and "try" in str(error)
        return
    except DtypeError:
        return  # complex numbers, before tensors hold them
    assert not isinstance(wanted, Exception), wanted
    assert_same(got, wanted)


def weighted(value):
    """Numbers from whatever a function gives: the floats in it, each with a weight of its own."""
    parts = value if isinstance(value, tuple | list) else [value]
    total = 0.0
    for part in parts:
        if np.shape(part) == () and isinstance(part, int | bool | np.dtype | type):
            continue
        kind = part.dtype.dtype if isinstance(part, tj.Tensor) else np.asarray(part).dtype
        if kind.kind != "f" or np.size(part) == 0:
            continue
        weights = np.cos(np.arange(np.size(part)) + 1.0).reshape(np.shape(part))
        total = total + (part * weights).sum()
    return total


@pytest.mark.parametrize(("function", "sample"), CASES)
def test_slopes_are_those_of_numpy(function, sample):
    """The gradient of every float argument against central differences of NumPy's own function."""
    if ours(function) is None or isinstance(plain(sample), Exception):
        return
    leaves = []

    def leaf(array):
        if np.asarray(array).dtype.kind != "f":
            return tj.tensor(array)
        leaves.append(tj.tensor(array, requires_grad=True))
        return leaves[-1] * 1.0  # no leaf: functions may write into it

    try:
        total = weighted(sample(leaf))
    except (TapejitError, NotImplementedError):
        return
    if isinstance(total, tj.Tensor) and total.requires_grad:
        total.backward()
    numbers = np.random.default_rng(0)
    directions = [numbers.normal(size=tuple(x.shape)) for x in leaves]

    def moved(step):
        queue = iter(directions)

        def shift(array):
            return array + step * next(queue) if np.asarray(array).dtype.kind == "f" else array

        return weighted(plain(lambda t: sample(shift)))

    difference = (moved(1e-6) - moved(-1e-6)) / 2e-6
    given = [0.0 if x.grad is None else x.grad.numpy() for x in leaves]
    got = sum(float(np.nansum(g * d)) for g, d in zip(given, directions, strict=True))
    assert got == pytest.approx(float(difference), rel=1e-5, abs=1e-7)


@pytest.fixture
def floats_are_float64():
    tj.set_default_dtype(tj.float64)
    yield
    tj.set_default_dtype(tj.float32)


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda u: u.__name__)
@pytest.mark.usefixtures("floats_are_float64")
def test_ufuncs_agree_with_numpy_or_say_why_not(ufunc):
    for arrays in ((A / 3, np.abs(A.T).T + 0.1), (MASK * 3 + 1, MASK * 2 + 1), (MASK, ~MASK)):
        arguments = arrays[: ufunc.nin] if ufunc.nin <= 2 else (arrays[0],) * ufunc.nin
        if ufunc.signature is not None:
            arguments = [a[0] if "n),(n,p)" in ufunc.signature else a for a in arguments]
        with np.errstate(all="ignore"):
            wanted = plain(lambda t, args=arguments: ufunc(*args))
        try:
            got = ufunc(*map(tj.tensor, arguments))
        except (TraceError, DtypeError) as error:
            assert ufunc not in FOR_NUMPY or isinstance(error, DtypeError)
            assert ufunc in FOR_NUMPY or ("rule" in str(error) and "try" in str(error))
            continue
        except (RuntimeError, NotImplementedError):
            assert isinstance(wanted, Exception)
            continue
        # PyTorch's dtypes: float32 or float64 of booleans, not float16, and of 1 / integer
        is_half = np.asarray(wanted).dtype == np.float16
        whole = arrays[0].dtype.kind != "f"
        if not (isinstance(wanted, Exception) or is_half or (ufunc is np.reciprocal and whole)):
            assert_same(got, wanted)


# ---------------------------------------------------------------- what an unsupported one says


def test_the_error_names_the_nearest():
    x = tj.tensor(V)
    for call, near in {
        (lambda: np.histogram(x)): r"np\.histogram.*\n.*np\.bincount",
        (lambda: np.gcd(x, x)): r"np\.gcd.*\n.*np\.remainder",
        (lambda: np.save("nowhere", x)): r"np\.save.*\n.*x\.detach\(\)\.numpy\(\)",
        (lambda: np.power.reduce(x)): r"np\.power\.reduce has no rule",
    }.items():
        with pytest.raises(TraceError, match=near):
            call()
    assert "np.sum" in nearest("np.summ")


def test_what_is_meant_exists():
    """Names in the table of meanings are NumPy's."""
    for name in MEANINGS:
        home = np
        for part in name.split(".")[1:]:
            home = getattr(home, part)


@pytest.mark.parametrize("name", ["searchsorted"])
def test_options_that_nobody_takes_are_refused(name):
    calls = {
        "searchsorted": lambda x: np.searchsorted(x, 1.0, sorter=[1, 0, 2, 3, 4]),
    }
    with pytest.raises(TraceError, match=f"np.{name} of tensors takes no"):
        calls[name](tj.tensor(V))


# ---------------------------------------------------------------- out, where, initial, dtype


def test_out_of_a_tensor_is_written_in_place():
    x = tj.tensor(V, requires_grad=True)
    out = tj.zeros(5, dtype=tj.float64)
    assert np.exp(x, out=out) is out and np.add(out, 1.0, out) is out
    out.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(V))
    total = tj.zeros((), dtype=tj.float64)
    assert np.sum(x * 2, out=total) is total
    total.backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(V) + 2)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        np.exp(x, out=x)
    with pytest.raises(DtypeError, match="cannot be written into int64"):
        np.exp(x, out=tj.zeros(5, dtype=tj.int64))
    parts = [tj.zeros(3, 4, dtype=tj.float64), tj.zeros(3, dtype=tj.float64)]
    np.multiply(tj.tensor(A), 2.0, out=parts[0])
    np.max(tj.tensor(A), 1, parts[1])
    assert_same(parts, [A * 2, A.max(1)])


def test_out_of_an_array_is_written_where_no_derivative_is_lost():
    out = np.zeros(5)
    assert np.exp(tj.tensor(V), out=out) is out
    np.testing.assert_allclose(out, np.exp(V))
    out += tj.tensor(W)
    np.testing.assert_allclose(out, np.exp(V) + W)
    assert np.cumsum(tj.tensor(V), out=out) is out
    np.testing.assert_allclose(out, np.cumsum(V))
    x = tj.tensor(V, requires_grad=True)
    for call in (lambda: np.exp(x, out=out), lambda: np.cumsum(x, out=out)):
        with pytest.raises(TraceError, match="out= is a NumPy array"):
            call()


def test_where_of_a_ufunc_masks_value_and_slope():
    x = tj.tensor(V, requires_grad=True)
    y = np.log(x, where=x > 0)
    np.testing.assert_allclose(y.detach().numpy(), np.log(V, where=V > 0, out=np.zeros(5)))
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(V > 0, 1 / V, 0.0))
    out = tj.ones(5, dtype=tj.float64)
    np.sqrt(x, out=out, where=V > 0)
    wanted = np.sqrt(V, out=np.ones(5), where=V > 0)
    np.testing.assert_allclose(out.detach().numpy(), wanted)


def test_extremes_of_a_mask_need_initial():
    with pytest.raises(ArgumentError, match="initial= beside where"):
        np.max(tj.tensor(A), where=MASK)


METHODS = {
    "reduce": lambda t: np.add.reduce(t(A)),
    "reduce, all": lambda t: np.multiply.reduce(t(A), axis=None),
    "reduce, where": lambda t: np.maximum.reduce(t(A), 1, initial=-9.0, where=MASK),
    "reduce, keepdims": lambda t: np.minimum.reduce(t(A), (0, 1), keepdims=True),
    "reduce, dtype": lambda t: np.add.reduce(t(A > 0), dtype=np.float64),
    "logical": lambda t: np.logical_or.reduce(t(A > 3), axis=1),
    "accumulate": lambda t: np.add.accumulate(t(A)),
    "accumulate, axis": lambda t: np.add.accumulate(t(A), axis=1),
    "outer": lambda t: np.subtract.outer(t(V), A),
    "outer, array left": lambda t: np.multiply.outer(A, t(V)),
    "outer, number": lambda t: np.add.outer(2.0, t(V)),
    "reduceat": lambda t: np.add.reduceat(t(V), [0, 3, 1]),
    "reduceat, axis": lambda t: np.maximum.reduceat(t(A), [0, 2], axis=1),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_ufuncs(name):
    assert_same(METHODS[name](tj.tensor), METHODS[name](lambda array: array))


def test_adding_at_places():
    x, v = tj.zeros(4, dtype=tj.float64), tj.tensor(V, requires_grad=True)
    plain = np.zeros(4)
    places = [0, 2, 2, 3, 0]
    np.add.at(x, places, v * 2)
    np.subtract.at(x, 1, 3.0)
    np.add.at(plain, places, V * 2)
    np.subtract.at(plain, 1, 3.0)
    assert_same(x.detach(), plain)
    (x * x).sum().backward()
    np.testing.assert_allclose(v.grad.numpy(), 4 * plain[places])
    with pytest.raises(TraceError, match="cannot hold the history"):
        np.add.at(plain, places, v)


# ---------------------------------------------------------------- operands of other kinds

LEFT = {
    "array": lambda t: A * t(A),
    "array, in a chain": lambda t: (A - t(A)) / (A + 3) ** t(A > 0),
    "0-d array": lambda t: np.array(2.0) ** t(A),
    "np.float64": lambda t: np.float64(2.0) - t(A),
    "np.float32": lambda t: np.float32(0.5) * t(A),
    "np.int64": lambda t: np.int64(3) // t(A + 5),
    "np.bool": lambda t: np.True_ & t(A > 0),
    "matmul": lambda t: A.T @ t(A),
    "comparison": lambda t: np.greater(V, t(W)) & (t(V) < W),
    "equality": lambda t: np.equal(V, t(W)),
    "list in a ufunc": lambda t: np.add([1.0, 2.0, 3.0, 4.0], t(A)),
    "list of tensors": lambda t: np.dot([t(V), t(W)], t(V)),
    "float array, integers": lambda t: V + t(np.arange(5)),
    "reversed power": lambda t: np.array([1.0, 2.0, 3.0, 4.0]) ** t(A),
}


@pytest.mark.parametrize("name", LEFT)
def test_arrays_and_scalars_on_the_left(name):
    got = LEFT[name](tj.tensor)
    assert isinstance(got, tj.Tensor)
    assert_same(got, LEFT[name](lambda array: array))


def test_a_number_of_numpy_is_a_number_on_either_side():
    x = tj.tensor([1, 2])
    assert (np.float64(0.5) * x).dtype == (x * np.float64(0.5)).dtype == tj.float32


def test_array_classes_of_their_own_are_refused():
    x = tj.tensor(V)
    masked = np.ma.masked_array(V, V > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matrix = np.matrix(V)
    calls = [
        lambda: np.add(masked, x), lambda: np.stack([x, masked]), lambda: np.dot(matrix, x),
        lambda: x + masked, lambda: np.where(V > 0, masked, x), lambda: tj.isin(x, masked),
        lambda: tj.searchsorted(x.flatten().sort().values, masked),
        lambda: tj.linalg.solve(tj.eye(len(V), dtype=x.dtype), masked),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(DtypeError, match=r"mask|means something else"):
            call()


def test_another_library_may_answer():
    class Other:
        __array_ufunc__ = None

        def __array_function__(self, function, types, args, kwargs):
            return "other"

    assert np.concatenate([tj.tensor(V), Other()]) == "other"


@pytest.mark.parametrize("function", sorted(FOR_NUMPY, key=name_of), ids=name_of)
def test_every_override_is_of_a_function_that_numpy_hands_over(function):
    known = {*FUNCTIONS, *UFUNCS}
    assert function in known or inspect.isbuiltin(function)
