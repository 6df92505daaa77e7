"""How dtypes mix and what operations make of them: the whole table against torch.

Inside transforms of NumPy functions the table is NumPy's (docs/dtypes.md).
"""

from __future__ import annotations

import itertools
import operator
import warnings

import numpy as np
import pytest

import tapejit as tj

NAMES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
    "complex64", "complex128",
)  # fmt: skip
NUMBERS = (True, 2, 2.5, 1j)


def tensor(t, name, ndim):
    return t.tensor([1, 2] if ndim else 1).to(getattr(t, name))


def outcome(function, *operands):
    """The name of the result's dtype, or "refused"; PyTorch's complex32 is our complex64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = function(*operands)
        except Exception:
            return "refused"
    name = str(getattr(result, "dtype", result)).split(".")[-1]
    return "complex64" if name == "complex32" else name


def agree(ours, theirs) -> bool:
    """We take what torch refuses where the result is plain; never the other way round."""
    return ours == theirs or (theirs == "refused" and ours != "refused")


OF_TENSORS = {
    "+": lambda t: operator.add,
    "-": lambda t: operator.sub,
    "*": lambda t: operator.mul,
    "/": lambda t: operator.truediv,
    "//": lambda t: operator.floordiv,
    "%": lambda t: operator.mod,
    "**": lambda t: operator.pow,
    "<": lambda t: operator.lt,
    "==": lambda t: operator.eq,
    "&": lambda t: operator.and_,
    "where": lambda t: lambda x, y: t.where(t.tensor([True, False]), x, y),
    "maximum": lambda t: t.maximum,
    "atan2": lambda t: t.atan2,
    "logical_and": lambda t: t.logical_and,
    "cat": lambda t: lambda x, y: t.cat([x.reshape(-1), y.reshape(-1)]),
    "result_type": lambda t: t.result_type,
}


STANDINGS = ((1, 1), (0, 1), (1, 0), (0, 0))
"""Numbers of axes."""


@pytest.mark.parametrize("name", OF_TENSORS)
def test_two_tensors(name):
    torch = pytest.importorskip("torch")
    wrong = []
    standings = STANDINGS if name in ("+", "/", "where", "result_type") else STANDINGS[:2]
    for one, other, (m, n) in itertools.product(NAMES, NAMES, standings):
        ours, theirs = (
            outcome(OF_TENSORS[name](t), tensor(t, one, m), tensor(t, other, n))
            for t in (tj, torch)
        )
        if not agree(ours, theirs):
            wrong.append(f"{one}[{m}] {name} {other}[{n}]: {ours}, not {theirs}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["+", "-", "*", "/", "//", "%", "**", "<", "==", "where"])
def test_a_tensor_and_a_number(name):
    torch = pytest.importorskip("torch")
    wrong = []
    for dtype, ndim, number, is_turned in itertools.product(NAMES, (0, 1), NUMBERS, (False, True)):
        found = []
        for t in (tj, torch):
            pair = [tensor(t, dtype, ndim), number]
            found.append(outcome(OF_TENSORS[name](t), *(pair[::-1] if is_turned else pair)))
        if not agree(*found):
            wrong.append(f"{dtype}[{ndim}] {name} {number} ({is_turned}): {found}")
    assert not wrong, "\n".join(wrong)


def test_the_default_dtype_decides():
    torch = pytest.importorskip("torch")
    functions = (lambda x: x * 0.5, lambda x: x * 1j, lambda x: x / 3, lambda x: x.sqrt())
    try:
        for t in (tj, torch):
            t.set_default_dtype(t.float64)
        for name, function in itertools.product(NAMES, functions):
            ours, theirs = (outcome(function, tensor(t, name, 1)) for t in (tj, torch))
            assert ours == theirs, name
    finally:
        for t in (tj, torch):
            t.set_default_dtype(t.float32)


# ---------------------------------------------------------------- one tensor

OF_ONE = (
    "abs neg exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal sin cos tan asin "
    "acos atan sinh cosh tanh asinh acosh atanh sigmoid erf erfc floor ceil round trunc frac sign "
    "sgn relu isnan isinf isfinite isreal signbit angle real conj logical_not positive "
    "sum prod mean var std amax amin max min all any count_nonzero argmax argmin norm "
    "flatten squeeze t clone zeros_like ones_like nonzero tril triu diagonal"
)
WITH_MORE = {
    "softmax": lambda t, x: t.softmax(x, 1),
    "log_softmax": lambda t, x: t.log_softmax(x, 1),
    "cumsum": lambda t, x: t.cumsum(x, 0),
    "sum over an axis": lambda t, x: x.sum(1, keepdim=True),
    "sum of another dtype": lambda t, x: x.sum(dtype=t.float64),
    "flip": lambda t, x: t.flip(x, (0,)),
    "roll": lambda t, x: t.roll(x, 1),
    "stack": lambda t, x: t.stack([x, x]),
    "repeat": lambda t, x: x.repeat(2, 1),
    "matmul": lambda t, x: x @ x.t(),
    "gather": lambda t, x: t.gather(x, 1, t.tensor([[0], [1]])),
    "indexing": lambda t, x: x[[1, 0], 1:],
    "masked": lambda t, x: x[x != 0],
    "power": lambda t, x: x**2,
    "sort": lambda t, x: t.sort(x)[0],
    "clamp": lambda t, x: x.clamp(1, 2),
    "in place": lambda t, x: x.clone().mul_(2),
    "assignment": lambda t, x: x.clone().index_fill_(0, t.tensor([0]), 1),
}
TOLERANCE = {"float16": 2e-3, "float32": 1e-5, "complex64": 1e-5}
# uint8 of `all` and `any` is uint8 in torch, for the sake of old code; booleans here
NOT_ALIKE = {("all", "uint8"), ("any", "uint8")}


@pytest.mark.parametrize("name", [*OF_ONE.split(), *WITH_MORE])
def test_values_dtypes_and_gradients_of_one_tensor(name):
    torch = pytest.importorskip("torch")
    function = WITH_MORE.get(name) or (lambda t, x: getattr(t, name)(x))
    for dtype in NAMES:
        if (name, dtype) in NOT_ALIKE:
            continue
        results = []
        for t in (tj, torch):
            x = t.tensor([[1, 0.25, 2], [3, 1, 0.5]]).to(getattr(t, dtype))
            is_inexact = x.is_floating_point() or x.is_complex()
            results.append(outcome_of(t, function, x.requires_grad_() if is_inexact else x))
        ours, theirs = results
        if theirs is None:
            continue
        assert ours is not None, f"{name} of {dtype} is refused"
        assert [a.dtype for a in ours] == [a.dtype for a in theirs], f"{name} of {dtype}"
        for a, b in zip(ours, theirs, strict=True):
            tolerance = TOLERANCE.get(b.dtype.name, 1e-9)
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, err_msg=f"{dtype}")


def outcome_of(t, function, x):
    """The value, and the gradient of its weighted sum where there is one; None if refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            y = function(t, x)
        except Exception:
            return None
        found = [y.detach().resolve_conj().numpy(force=True)]
        if y.requires_grad:
            y.backward(t.ones_like(y))
            found.append(x.grad.resolve_conj().numpy(force=True))
    return found


def test_half_precision_is_added_up_in_single():
    torch = pytest.importorskip("torch")
    numbers = np.random.default_rng(0).uniform(0.5, 1.5, (64, 64)).astype(np.float16)
    for function in (
        lambda x: x.sum(),
        lambda x: x.sum(0),
        lambda x: x.mean(),
        lambda x: x.var(),
        lambda x: x.cumsum(1),
        lambda x: x @ x,
    ):
        ours, theirs = (function(t.tensor(numbers)).numpy() for t in (tj, torch))
        assert ours.dtype == np.float16
        np.testing.assert_array_equal(ours, theirs)


# ---------------------------------------------------------------- NumPy's rule

IN_NUMPY = {
    "+": np.add,
    "*": np.multiply,
    "/": np.true_divide,
    "==": np.equal,
    "maximum": np.maximum,
    "where": lambda x, y: np.where(x == y, x, y),
    "concatenate": lambda x, y: np.concatenate([x, y]),
    "by number": lambda x, y: (x * 2.5) + (y * 3),
    "by complex number": lambda x, y: x * 1j + y,
    "matmul": lambda x, y: np.matmul(x, y),
}


@pytest.mark.parametrize("name", IN_NUMPY)
def test_numpys_rule_inside_transforms(name):
    function, wrong = IN_NUMPY[name], []
    program = tj.jit(function)
    for one, other in itertools.product(NAMES, NAMES):
        if "complex" in one + other and name == "maximum":
            continue
        if {one, other} <= {"bool"} and name == "matmul":
            continue  # the sum of booleans is one in NumPy
        x, y = np.array([1, 2]).astype(one), np.array([3, 2]).astype(other)
        want = function(x, y)
        for _ in range(2):
            got = program(x, y)
            if got.dtype != want.dtype:
                wrong.append(f"{one} {name} {other}: {got.dtype}, not {want.dtype}")
            np.testing.assert_allclose(got, want, rtol=2e-3)
    assert not wrong, "\n".join(wrong)


def test_the_rule_holds_in_derivatives_too():
    integers, single = np.array([1, 2]), np.array([0.5, 1.5], np.float32)
    value, gradient = tj.value_and_grad(lambda x: np.sum(x * integers))(single)
    assert (value.dtype, gradient.dtype) == (np.float64, np.float32)
    value, pullback = tj.vjp(lambda x: x * integers, single)
    assert value.dtype == np.float64 and pullback(np.ones(2))[0].dtype == np.float32
    assert tj.jvp(lambda x: x * integers, (single,), (single,))[1].dtype == np.float64


def test_what_is_not_numpys_inside_transforms():
    """As docs/dtypes.md says: 0-d values count less, functions of integers give float64."""
    single = np.ones(2, np.float32)
    assert tj.jit(lambda x, s: x * s)(single, 2.0).dtype == np.float32
    assert tj.jit(lambda x, s: x * s)(single, np.float64(2)).dtype == np.float32
    assert tj.jit(np.sin)(np.ones(2, np.int8)).dtype == np.float64


def test_tensors_keep_pytorchs_rule_inside_transforms():
    program = tj.jit(lambda x, n: x * n)
    assert program(tj.ones(2), tj.tensor([1, 2])).dtype is tj.float32
    assert (tj.tensor([1, 2]) * tj.ones(2)).dtype is tj.float32
