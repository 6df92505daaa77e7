"""Printed forms of tensors: literal strings, and torch's own repr over random arrays."""

from __future__ import annotations

import numpy as np
import pytest

from tapejit.errors import DtypeError
from tapejit.tensor import printing

f32, f64 = np.float32, np.float64


@pytest.fixture(autouse=True)
def _default_options():
    yield
    printing.set_printoptions(profile="default")


def text_of(array: object, **facts: object) -> str:
    array = np.asarray(array)
    name = str(array.dtype)
    return printing.format_tensor(array, **{"dtype_name": name, "default_float": "float32"} | facts)


LITERAL = [
    (f32(3.0), {}, "tensor(3.)"),
    (f32(3.41797), {}, "tensor(3.4180)"),
    (f32(-0.27291), {"grad_fn_name": "SinBackward0"}, "tensor(-0.2729, grad_fn=<SinBackward0>)"),
    (f32(3.0), {"device": "cuda:0", "requires_grad": True},
     "tensor(3., device='cuda:0', requires_grad=True)"),
    (f32(9.0), {"device": "cuda:0", "grad_fn_name": "PowBackward0", "requires_grad": True},
     "tensor(9., device='cuda:0', grad_fn=<PowBackward0>)"),
    (f64(0.1), {}, "tensor(0.1000, dtype=torch.float64)"),
    (f64(0.1), {"default_float": "float64"}, "tensor(0.1000)"),
    (f32(0.1), {"default_float": "float64"}, "tensor(0.1000, dtype=torch.float32)"),
    (np.float16(1e-5), {}, "tensor(1.0014e-05, dtype=torch.float16)"),
    (f32(np.nan), {}, "tensor(nan)"),
    (f32(-np.inf), {}, "tensor(-inf)"),
    (f32(-0.0), {}, "tensor(-0.)"),
    (f64(5e-324), {}, "tensor(4.9407e-324, dtype=torch.float64)"),
    (np.int64(-7), {}, "tensor(-7)"),
    (np.uint8(5), {}, "tensor(5, dtype=torch.uint8)"),
    (np.True_, {}, "tensor(True)"),
    (np.array([True, False]), {}, "tensor([ True, False])"),
    (np.array([1, -100, 7]), {}, "tensor([   1, -100,    7])"),
    (np.array([1, 2], np.int32), {}, "tensor([1, 2], dtype=torch.int32)"),
    (np.zeros(0, f32), {}, "tensor([])"),
    (np.zeros(0, np.int64), {}, "tensor([], dtype=torch.int64)"),
    (np.zeros((2, 0), f32), {}, "tensor([], size=(2, 0))"),
    (np.zeros((2, 0), np.int32), {}, "tensor([], size=(2, 0), dtype=torch.int32)"),
    (np.array([0.0, np.nan], f32), {}, "tensor([0., nan])"),
    (np.array([1.5, np.nan], f32), {}, "tensor([1.5000,    nan])"),
    (np.array([1.0, 1000.0], f32), {}, "tensor([   1., 1000.])"),
    (np.array([1.0, 1001.0], f32), {}, "tensor([1.0000e+00, 1.0010e+03])"),
    (np.array([0.5, 500.0], f32), {}, "tensor([  0.5000, 500.0000])"),
    (np.array([1e8], f32), {}, "tensor([100000000.])"),
    (np.array([1e8 + 8], f32), {}, "tensor([1.0000e+08])"),
    (f64(1e-4), {}, "tensor(0.0001, dtype=torch.float64)"),
    (f64(9.9e-5), {}, "tensor(9.9000e-05, dtype=torch.float64)"),
    (np.array([1e300, 1e-300]), {}, "tensor([1.0000e+300, 1.0000e-300], dtype=torch.float64)"),
    (np.array([[1.0, -2.0], [2.5, 9.8]], f32), {"requires_grad": True},
     "tensor([[ 1.0000, -2.0000],\n        [ 2.5000,  9.8000]], requires_grad=True)"),
    (np.arange(1001), {}, "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    (np.zeros(30, f32), {},
     "tensor([" + "0., " * 23 + "0.,\n        0., 0., 0., 0., 0., 0.])"),
    (np.zeros((2, 1, 2), f32), {}, "tensor([[[0., 0.]],\n\n        [[0., 0.]]])"),
    (np.zeros((200, 7), np.int64), {},
     "tensor([[0, 0, 0,  ..., 0, 0, 0],\n" + "        [0, 0, 0,  ..., 0, 0, 0],\n" * 2
     + "        ...,\n" + "        [0, 0, 0,  ..., 0, 0, 0],\n" * 2
     + "        [0, 0, 0,  ..., 0, 0, 0]])"),
    (np.full(9, 1.25), {"grad_fn_name": "MulBackward0"},
     "tensor([" + "1.2500, " * 8 + "1.2500],\n       dtype=torch.float64, grad_fn=<MulBackward0>)"),
]  # fmt: skip


@pytest.mark.parametrize(("array", "facts", "expected"), LITERAL)
def test_literal(array, facts, expected):
    assert text_of(array, **facts) == expected


def test_layout_of_the_array_does_not_show():
    array = np.arange(24.0, dtype=f32).reshape(2, 3, 4)
    for view in (array[:, ::-1], array.T, array[::-1, :, 1::2]):
        assert text_of(view) == text_of(view.copy())
    swapped = array.astype(">f4")
    assert text_of(swapped, dtype_name="float32") == text_of(array)


def test_printing_does_not_write():
    array = np.arange(2000.0)
    array.flags.writeable = False
    text_of(array)


def test_objects_are_refused():
    with pytest.raises(DtypeError, match=r"^print: a tensor of dtype object has no printed form"):
        text_of(np.array([None]))


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        (f32(6.691762447357178), "", "6.691762447357178"),
        (f32(0.998770534992218), "", "0.998770534992218"),
        (f64(3.14159), ".2f", "3.14"),
        (np.int64(3), "5d", "    3"),
        (np.True_, "", "True"),
    ],
)
def test_format_scalar(value, spec, expected):
    assert printing.format_scalar(np.asarray(value), spec) == expected


# ---- options -----------------------------------------------------------------------------------


OPTIONS = [
    ({"precision": 2}, [1.5, 2.25], "tensor([1.50, 2.25])"),
    ({"precision": 0}, [1.5, 2.5], "tensor([2, 2])"),
    ({"profile": "short"}, [1.5], "tensor([1.50])"),
    ({"profile": "short", "precision": 3}, [1.5], "tensor([1.500])"),
    ({"sci_mode": True}, [1.0, 20.0], "tensor([1.0000e+00, 2.0000e+01])"),
    ({"sci_mode": False}, [1e-9, 1.0], "tensor([0.0000, 1.0000])"),
    ({"threshold": 2, "edgeitems": 1}, [1.0, 2.0, 3.0], "tensor([1.,  ..., 3.])"),
    ({"threshold": 2, "edgeitems": 0}, [1.0, 2.0, 3.0], "tensor([...], size=(3,))"),
    ({"linewidth": 15}, [1.0, 2.0, 3.0], "tensor([1., 2.,\n        3.])"),
]


@pytest.mark.parametrize(("options", "values", "expected"), OPTIONS)
def test_set_printoptions(options, values, expected):
    printing.set_printoptions(**options)
    assert text_of(np.array(values, f32)) == expected


def test_sci_mode_is_forgotten_by_the_next_call_and_the_rest_is_not():
    printing.set_printoptions(sci_mode=True, precision=2)
    printing.set_printoptions(linewidth=60)
    assert text_of(f32(1.5)) == "tensor(1.50)"
    assert printing.get_printoptions()["linewidth"] == 60


def test_unknown_profile():
    with pytest.raises(ValueError, match=r"^set_printoptions: profile 'loud' is not one of"):
        printing.set_printoptions(profile="loud")


# ---- torch agrees ------------------------------------------------------------------------------


DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]
SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, 1000.0]


def random_array(rng: np.random.Generator, dtype: str) -> np.ndarray:
    """Any rank from 0 to 4, sometimes empty or above 1000 elements, of any magnitude."""
    shortest = 0 if rng.random() < 0.1 else 1
    shape = tuple(rng.integers(shortest, rng.choice([5, 9, 40]), rng.integers(0, 5)))
    if np.prod(shape) > 20000:
        shape = shape[:2]
    values = rng.standard_normal(shape) * 10.0 ** rng.integers(-8, 9)
    match rng.integers(6):
        case 0:
            values = np.round(values)
        case 1:
            values = values * 10.0 ** rng.uniform(-3, 3, shape)
        case 2:
            values = np.round(rng.standard_normal(shape) * 100)
        case 3:
            values = np.where(rng.random(shape) < 0.3, rng.choice(SPECIAL, shape), values)
        case 4:
            values = rng.choice(SPECIAL, shape)
    with np.errstate(all="ignore"):
        if dtype.startswith("float"):
            return np.asarray(values, dtype)
        return np.asarray(np.nan_to_num(values).clip(-2e9, 2e9)).astype(np.int64).astype(dtype)


def random_options(rng: np.random.Generator) -> dict[str, object]:
    if rng.random() < 0.5:
        return {"profile": ["default", "short"][rng.integers(2)]}
    return {
        "precision": int(rng.integers(0, 7)),
        "linewidth": int(rng.integers(10, 120)),
        "threshold": int(rng.integers(0, 2000)),
        "edgeitems": int(rng.integers(0, 5)),
        "sci_mode": [None, True, False][rng.integers(3)],
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_as_torch(dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(DTYPES.index(dtype))
    try:
        for _ in range(100):
            theirs = torch.tensor(random_array(rng, dtype))
            ours = np.asarray(theirs.numpy())
            options = random_options(rng)
            default_float = "float64" if rng.random() < 0.2 else "float32"
            requires_grad = theirs.dtype.is_floating_point and rng.random() < 0.5
            name = None
            if requires_grad:
                theirs.requires_grad_()
                if rng.random() < 0.5:
                    theirs, name = theirs * 1, "MulBackward0"
            torch.set_default_dtype(getattr(torch, default_float))
            torch.set_printoptions(**options)
            printing.set_printoptions(**options)
            assert repr(theirs) == text_of(
                ours,
                default_float=default_float,
                requires_grad=requires_grad,
                grad_fn_name=name,
            ), (options, ours.shape)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_printoptions(profile="default")
