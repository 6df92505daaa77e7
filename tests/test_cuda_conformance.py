"""What people do with tensors, done on a GPU: the same numbers as on the CPU, and nowhere else.

Every operation of the register, every example of the documentation, random programs, and what a
day's work is made of.  All of it runs on a simulated GPU, and on a card where there is one.

All of it has a form there: nothing may raise errors.NoGpuForm.

TAPEJIT_FUZZ=100 python -m pytest tests/test_cuda_conformance.py     # all dtypes, more programs
"""

from __future__ import annotations

import contextlib
import doctest
import functools
import inspect
import io
import os
import warnings

import numpy as np
import probing
import pytest
import test_public_api
from operation_programs import draft

import tapejit as tj
from tapejit import dtypes
from tapejit.errors import (
    ArgumentError,
    AutogradError,
    DeviceError,
    DtypeError,
    LinAlgError,
)
from tapejit.shapes import CPU
from tapejit.tensor.attributes import place
from tapejit.tensor.core import apply

FUZZ = int(os.environ.get("TAPEJIT_FUZZ", "0"))
GPUS = ["simulated", pytest.param("card", marks=pytest.mark.gpu)]
SETTING = {"simulated": "simulator", "card": "card"}
RTOL = {"float64": 1e-11, "float32": 1e-5, "complex128": 1e-11, "int64": 0.0, "bool": 0.0}


@pytest.fixture(params=GPUS)
def device(request):
    """The name of a device, in a setting where it is this GPU."""
    with tj.config.set(cuda=SETTING[request.param]):
        yield "cuda"
        with contextlib.suppress(LinAlgError):  # of the test's own, if it failed
            tj.cuda.synchronize()


@contextlib.contextmanager
def lying_on(device):
    """What is made without a word about it lies on a device."""
    place.__defaults__ = (CPU if device == "cpu" else f"{device}:0",)
    try:
        yield
    finally:
        place.__defaults__ = (CPU,)


# ---------------------------------------------------------------- operations


def operation_cases():
    """Those of float64, or of an operation's first dtype."""
    for op in probing.probed():
        known = probing.dtypes_of(op)
        first = dtypes.float64 if dtypes.float64 in known else known[0]
        for case in probing.cases(op, known if FUZZ else (first,)):
            # nowhere to go; and more places than there are
            if op.name != "to_device" and (op.name, case.dtype.name) != ("nonzero", "bool"):
                yield case


def leaves(case, arrays, device):
    """The case's operands there; those that a derivative is asked of require grad."""
    asked = probing._asked(case)
    return [
        tj.tensor(a, device=device, requires_grad=i in asked and a.dtype.kind in "fc")
        for i, a in enumerate(arrays)
    ]


def called(op, tensors, attrs):
    """What an operation gives; of vectors that are chosen up to a sign, or a phase, the squares."""
    y = apply(op, tensors, attrs)
    return y * y.conj() if op.name in ("eig", "eigh", "svd") else y


def outcome(case, arrays, device):
    """Value and gradients: eagerly, and in one program."""
    tensors = leaves(case, arrays, device)
    op, attrs = case.op, case.attrs
    y = called(op, tensors, attrs)
    asked = tuple(i for i, x in enumerate(tensors) if x.requires_grad)
    if not y.requires_grad or not asked:
        return [y.detach()], []
    w = tj.tensor(probing.cotangent_of(case, y.detach().cpu().numpy()), device=device)
    y.backward(w)

    def total(*tensors):
        return (called(op, tensors, attrs) * w).real.sum()

    value, gradients = tj.value_and_grad(total, asked)(*[x.detach() for x in tensors])
    found = [x.grad for x in tensors if x.requires_grad]
    zeros = [tj.zeros_like(x) for x in gradients]
    eager = [z if g is None else g for g, z in zip(found, zeros, strict=True)]
    return [y.detach(), *eager], [value, *gradients]


@pytest.mark.filterwarnings("ignore:tapejit. outcome:RuntimeWarning")
@pytest.mark.parametrize("case", list(operation_cases()), ids=str)
def test_operations(case, device):
    """Values, gradients by backward, and both in one program."""
    arrays = probing.inputs_of(case)
    eager, compiled = outcome(case, arrays, device)
    wanted, wanted_compiled = outcome(case, arrays, "cpu")
    for got, want in zip(eager + compiled, wanted + wanted_compiled, strict=True):
        assert got.device == tj.device("cuda", 0) and got.dtype == want.dtype
        assert got.shape == want.shape
        probing.close(got.cpu().numpy(), want.numpy(), 100 * RTOL[case.dtype.name])


# ---------------------------------------------------------------- the documentation's examples

NOT_THERE = {
    "elementwise": "linked functions: Numba's code is for the CPU",
    "as_tensor": "NumPy's memory", "asarray": "NumPy's memory", "from_numpy": "NumPy's memory",
    "from_dlpack": "NumPy's memory", "Tensor.numpy": "NumPy's memory",
    "device": "tells it", "get_default_device": "tells it", "Tensor.device": "tells it",
    "Tensor.is_cuda": "tells it",
    "Tensor.type": "tells it", "Tensor.cpu": "goes there",
    "Generator": "the CPU's", "set_rng_state": "the CPU's",
    "linalg.LinAlgError": "comes later",
}  # fmt: skip
"""Examples that are about the CPU, and an error that comes when results are looked at."""

EXAMPLES = {
    name: text
    for name, text in test_public_api.DOCUMENTED.items()
    if ">>>" in text
    and name.partition(".")[0] not in ("cuda", "samplers", "scipy")
    and name not in NOT_THERE
    and (name.removeprefix("Tensor.") == name or name[7:] not in test_public_api.PUBLIC)
}


class MadeOn:
    """The library as someone uses it who says `device=` of each tensor that is made."""

    def __init__(self, device, module=tj):
        self.device, self.module = device, module

    def __getattr__(self, name):
        found = getattr(self.module, name)
        if found is tj.fft:
            return MadeOn(self.device, found)
        if not inspect.isfunction(found) or "device" not in inspect.signature(found).parameters:
            return found
        is_creation = name not in TRANSFORMED
        return functools.partial(found, device=self.device) if is_creation else found


TRANSFORMED = ("jit", "grad", "value_and_grad", "jacobian", "hessian", "set_default_device")
"""Whose `device` says something else."""


def values_in(text, device):
    """What each line of an example gives, by NumPy; whether it is right is for other tests."""
    scope, found = {"tj": MadeOn(device)}, []
    tj.manual_seed(0)
    np.random.seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        for example in doctest.DocTestParser().get_examples(text):
            if example.source == "import tapejit as tj\n":
                continue
            is_value = _is_expression(example.source)
            try:
                code = compile(example.source, "<example>", "eval" if is_value else "exec")
                found.append(plain(eval(code, scope), device))
                if device != "cpu":
                    tj.cuda.synchronize()  # what comes late comes now
            except Exception as error:
                if example.exc_msg is None:
                    raise
                found.append(type(error).__name__)
    return found


def _is_expression(source):
    with contextlib.suppress(SyntaxError):
        return bool(compile(source, "<example>", "eval"))
    return False


def plain(value, device):
    """NumPy arrays in place of tensors, which must lie where they should."""
    if isinstance(value, tj.Tensor):
        assert value.is_cuda == (device != "cpu"), "the result is on the wrong device"
        return value.detach().cpu().numpy().copy()
    if isinstance(value, tuple | list):
        return [plain(v, device) for v in value]
    if isinstance(value, dict):
        return {k: plain(v, device) for k, v in value.items()}
    return value.replace(", device='cuda:0'", "") if isinstance(value, str) else value


def close(got, want, rtol=2e-5):
    """Equal, with room for rounding."""
    if isinstance(want, list):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            close(g, w, rtol)
    elif isinstance(want, dict):
        close(list(got.values()), list(want.values()), rtol)
    elif isinstance(want, np.ndarray | np.generic):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        probing.close(got, want, rtol)
    elif isinstance(want, float):
        np.testing.assert_allclose(got, want, rtol=rtol)
    elif isinstance(want, int | str | type(None)):
        assert got == want


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name, device):
    """Each public function does on a GPU what its example does on the CPU, and stays there."""
    wanted = values_in(EXAMPLES[name], "cpu")
    close(values_in(EXAMPLES[name], device), wanted)


# ---------------------------------------------------------------- random programs


@pytest.mark.filterwarnings("ignore:tapejit. _both:RuntimeWarning")  # some change what they read
@pytest.mark.parametrize("seed", range(FUZZ or 12))
def test_random_programs(seed, device):
    """Of 3 to 30 operations: eagerly with backward, and value and gradients in one program."""
    text = draft(seed)
    floats = tuple(i for i, a in enumerate(text.arguments.values()) if a.dtype.kind == "f")
    found = []
    for there in ("cpu", device):
        with lying_on(there):
            found.append(_both(text, floats, there))
    # what kernels compute with x86's and with Python's functions, through thirty operations
    close(found[1], found[0], 1e-3 if any("32" in str(a.dtype) for a in found[0]) else 1e-8)


def _both(text, floats, device):
    tensors = [tj.tensor(a, device=device) for a in text.arguments.values()]
    program = text.function()
    value, gradients = tj.value_and_grad(lambda *args: program(tj, *args), floats)(*tensors)
    given = [tensors[i].requires_grad_() for i in floats]
    eager = program(tj, *tensors)
    if eager.requires_grad:
        eager.backward()
    slopes = [tj.zeros_like(x) if x.grad is None else x.grad for x in given]
    return plain([eager, *slopes, value, *gradients], device)


# ---------------------------------------------------------------- a day's work


def agree(function, device, *arrays, rtol=1e-11):
    """The same from tensors on the CPU and on a GPU; what it was on the CPU."""
    found = []
    for there in ("cpu", device):
        with lying_on(there):
            found.append(plain(function(*[tj.tensor(a, device=there) for a in arrays]), there))
    close(found[1], found[0], rtol)
    return found[0]


X = np.linspace(-1.5, 2.0, 12).reshape(3, 4)
Y = np.linspace(0.5, 1.5, 4)


def model(x, y):
    return (tj.tanh(x * y) / (1 + y**2)).sum()


TRANSFORMS = {
    "grad": lambda x, y: tj.grad(model, (0, 1))(x, y),
    "jit": lambda x, y: [tj.jit(lambda x: tj.softmax(x, 1) * y)(x) for _ in range(4)],
    "jacobian": lambda x, y: tj.jacobian(lambda y: x @ tj.exp(y))(y),
    "jacfwd": lambda x, y: tj.jacfwd(lambda y: x @ tj.exp(y))(y),
    "hessian": lambda x, y: tj.hessian(lambda y: model(x, y))(y),
    "hvp": lambda x, y: tj.hvp(lambda y: model(x, y), (y,), (tj.ones_like(y),)),
    "jvp": lambda x, y: tj.jvp(model, (x, y), (tj.ones_like(x), tj.ones_like(y))),
    "vjp": lambda x, y: tj.vjp(lambda x: x * y, x)[1](tj.ones_like(x)),
    "vmap": lambda x, y: tj.vmap(lambda row: (row * y).cumsum(0))(x),
    "vmap of grad": lambda x, y: tj.vmap(tj.grad(model), (0, None))(x, y),
    "functional.vjp": lambda x, y: tj.autograd.functional.vjp(model, (x, y)),
    "functional.jacobian": lambda x, y: tj.autograd.functional.jacobian(lambda y: y**3, y),
    "functional.hessian": lambda x, y: tj.autograd.functional.hessian(lambda y: model(x, y), y),
    "functional.hvp": lambda x, y: tj.autograd.functional.hvp(lambda y: model(x, y), y, y),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name, device):
    agree(TRANSFORMS[name], device, X, Y)


def test_views_and_changes_in_place(device):
    def f(x, y):
        x = x.clone()
        x[1:, ::2] = -1.0
        x[:, 1] *= 3.0
        x.t()[0].add_(y[:3])
        x[x > 1.5] = 0.5
        z = x.view(2, 6)
        z[1] += 1.0
        return x, z, x.permute(1, 0).contiguous(), x.flip(0), x[[0, 2]], x.unfold(1, 2, 1)

    agree(f, device, X, Y)


TIES = np.array([[2.0, 1.0, 2.0, np.nan], [0.0, -0.0, np.nan, 1.0], [2.0, 1.0, 2.0, 5.0]])


def test_distinct_elements(device):
    """How many there are is read, and nothing else."""

    def f(x, k):
        both = {"return_inverse": True, "return_counts": True}
        found = [tj.unique(x, **both), tj.unique(x[:, :3], dim=0, **both), tj.unique(k[:0])]
        found += [tj.unique(k % 3, dim=0, **both), tj.unique((k % 3).expand(2, 6), dim=1, **both)]
        found += [tj.unique_consecutive(x, **both), tj.unique_consecutive(k // 2, **both)]
        found += [tj.unique(k > 2), tj.unique(k.to(tj.uint8) // 2), tj.unique(x.float())]
        found += [tj.bincount(k), tj.bincount(k % 2, k), tj.bincount(k[:0], minlength=2)]
        found += [tj.bincount(k, x.ravel()[:6].nan_to_num(), minlength=9)]
        return found

    agree(f, device, TIES, np.array([3, 0, 3, 5, 1, 3]))
    agree(lambda x: tj.grad(lambda x: (tj.unique(x) * tj.arange(4.0, device=x.device)).sum())(x),
          device, np.array([2.0, 1.0, 2.0, 0.5, 7.0]))  # fmt: skip
    with pytest.raises(ArgumentError, match="only supports 1-d non-negative integral inputs"):
        tj.bincount(tj.tensor([2, -1], device=device))


def test_operands_without_elements(device):
    """Where the result has some."""

    def f(x, y):
        places, none = y[:0].long(), tj.zeros(0, 4, dtype=x.dtype, device=x.device)
        found = [x.index_reduce(0, places, none, how) for how in ("prod", "amin", "mean")]
        found += [x.index_add(0, places, none), x.clone().index_put_((places,), none)]
        found += [x.scatter_add(0, none.long(), none), tj.searchsorted(y[:0], x)]
        found += [x[:, :0] @ x[:0, :0].new_zeros(0, 2), x.long()[:, :0] @ none.long().t()[:0, :0]]
        return found

    agree(f, device, X, Y)


def test_changes_in_place_are_differentiated(device):
    def f(x, y):
        x.requires_grad_()
        z = x * 2
        z[0] = y
        z[1:].mul_(x[1:])
        z.sum().backward()
        return x.grad

    agree(f, device, X, Y)


def test_stale_values_are_noticed(device):
    x = tj.ones(3, device=device, requires_grad=True)
    y = x * 2
    z = (y * y).sum()
    y.add_(1.0)
    with pytest.raises(AutogradError, match="modified by an inplace operation"):
        z.backward()


def test_printing(device):
    x = tj.tensor([[1.0, -2.5], [float("nan"), 1e10]], device=device)
    plain_text = repr(x.cpu())
    assert repr(x) == plain_text[:-1] + ", device='cuda:0')"
    y = tj.ones(2, device=device, requires_grad=True)
    assert repr(y) == "tensor([1., 1.], device='cuda:0', requires_grad=True)"
    assert repr(y * 2) == "tensor([2., 2.], device='cuda:0', grad_fn=<MulBackward0>)"
    assert f"{y.sum().item():.1f}" == "2.0" and str(tj.tensor(3, device=device)).startswith("tens")


def test_devices_are_not_mixed(device):
    x, y = tj.ones(3, device=device), tj.ones(3)
    words = "Expected all tensors to be on the same device, but found at least two devices, "
    for mixed in (
        lambda: x + y,
        lambda: y @ x,
        lambda: tj.cat([x, y]),
        lambda: tj.where(x > 0, y, x),
    ):
        with pytest.raises(DeviceError, match=words):
            mixed()
    with pytest.raises(DeviceError, match=words):
        tj.jit(lambda x, y: x * y)(x, y)
    assert (x + tj.tensor(2.0)).tolist() == [3.0] * 3  # numbers may be anywhere
    for ask in (lambda: x.numpy(), lambda: np.asarray(x)):
        with pytest.raises(DtypeError, match=r"Use Tensor.cpu\(\) to copy"):
            ask()


def test_numbers_that_python_reads_are_guarded(device):
    def f(x):
        if x.sum() > 0:
            return x * int(x[0].item())
        return -x if bool((x < -5).any()) else x - 1

    run, slope = tj.jit(f), tj.grad(lambda x: f(x).sum())
    for array in ([2.0, 1.0], [3.0, 1.0], [-9.0, 1.0], [-1.0, 0.0], [2.0, 4.0]):
        x = tj.tensor(array, device=device)
        assert run(x).tolist() == f(x).tolist()
        assert slope(x).tolist() == tj.grad(lambda x: f(x).sum())(x.cpu()).tolist()
    assert x.tolist() == [2.0, 4.0] and x[1].item() == 4.0


def test_captured_tensors_are_read_afresh(device):
    w = tj.ones(3, device=device)
    slope = tj.grad(lambda x: (x * w).sum())
    x = tj.ones(3, device=device)
    for k in range(1, 5):
        w.fill_(float(k))
        assert slope(x).tolist() == [float(k)] * 3


def test_custom_rules(device):
    @tj.custom_vjp
    def clipped(x):
        return x * 3

    clipped.defvjp(lambda x: (x * 3, x), lambda x, g: ((g * x).clip(-1, 1),))

    class Twice(tj.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x

    def f(x):
        x.requires_grad_()
        (clipped(x) + Twice.apply(x)).sum().backward()
        return x.grad, tj.grad(lambda x: clipped(x).sum())(x.detach())

    agree(f, device, X)


LOSSES = {
    "cross_entropy": lambda F, s, t: F.cross_entropy(s, t, label_smoothing=0.1),
    "nll_loss": lambda F, s, t: F.nll_loss(F.log_softmax(s, 1), t, ignore_index=2),
    "mse_loss": lambda F, s, t: F.mse_loss(s, s.detach() * 2),
    "binary": lambda F, s, t: F.binary_cross_entropy_with_logits(s[:, 0], (t > 0).to(s.dtype)),
    "smooth_l1_loss": lambda F, s, t: F.smooth_l1_loss(s, s.detach() - 0.7),
    "multi_margin_loss": lambda F, s, t: F.multi_margin_loss(s, t),
    "kl_div": lambda F, s, t: F.kl_div(F.log_softmax(s, 1), F.softmax(s.detach() * 2, 1)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, device):
    targets = np.array([0, 3, 2])
    loss = lambda s, t: LOSSES[name](tj.nn.functional, s, t)  # noqa: E731
    agree(lambda s, t: tj.value_and_grad(loss)(s, t), device, X, targets)


@pytest.mark.parametrize("is_compiled", [False, True])
def test_training(is_compiled, device):
    """A net of two layers, with momentum, in place."""

    def f(x, w, v):
        F = tj.nn.functional
        target = tj.sin(x.sum(1, keepdim=True))
        parameters = [w, v]
        speeds = [tj.zeros_like(p) for p in parameters]

        def loss(w, v):
            return F.mse_loss(F.gelu(x @ w) @ v, target)

        step = tj.value_and_grad(loss, (0, 1)) if is_compiled else None
        history = []
        for _ in range(5):
            if step is not None:
                value, slopes = step(*parameters)
            else:
                given = [p.detach().requires_grad_() for p in parameters]
                value = loss(*given)
                value.backward()
                slopes = [p.grad for p in given]
            with tj.no_grad():
                for p, s, g in zip(parameters, speeds, slopes, strict=True):
                    s.mul_(0.9).add_(g)
                    p.sub_(0.1 * s)
            history.append(value.detach())
        return history, parameters

    w, v = np.linspace(-1, 1, 20).reshape(4, 5), np.linspace(1, -1, 5).reshape(5, 1)
    history, _ = agree(f, device, X, w, v, rtol=1e-9)
    assert history[-1] < history[0]


def test_derivatives_lie_where_their_arguments_do(device):
    """Also where they are made of numbers alone, which lie on the CPU."""

    def f(x, b):
        return {
            "constant": tj.grad(lambda x: (x * 3.0).sum())(x),
            "given": tj.grad(lambda p: (p["x"] * p["b"]).sum())({"x": x, "b": 2.0})["x"],
            "captured": tj.value_and_grad(lambda x: (b * -x).sum())(x),
            "jacobian": tj.jacobian(lambda x: x * b)(x),
            "jacfwd": tj.jacfwd(lambda x: x * b)(x),
            "hessian": tj.hessian(lambda x: (x * x * b).sum())(x),
            "vjp": tj.vjp(lambda x: x * b, x)[1](tj.ones_like(x)),
            "vmap": tj.vmap(tj.grad(lambda x: x * 2.0))(x),
            "none": tj.grad(lambda x: (x.detach() + b).sum())(x),
            "floor": tj.grad(lambda x: x.floor().sum())(x),
            "square": tj.autograd.grad((x.requires_grad_() * b).sum(), x, create_graph=True),
        }

    number = tj.tensor(2.0, dtype=tj.float64)
    agree(lambda x: f(x, number), device, Y)


def test_what_functions_make_beside_their_arguments_lies_there(device):
    """Ones, zeros and units of composed functions, where nobody says that they should."""

    def f(x, y):
        F = tj.nn.functional
        places, offsets = (x[0] > 0).long(), (y[:2] > 9).long()
        rows = x.clone().requires_grad_()
        F.embedding(places, rows, scale_grad_by_freq=True).sum().backward()
        square = x[:, :3] + 2 * x[:, :3].diag().diag()
        return [
            tj.convolve(y, x[0]), tj.matrix_power(square, 0), rows.grad,
            F.embedding_bag(places, x, offsets, mode="mean"), tj.cholesky_inverse(square.tril()),
            tj.linalg.cholesky_ex(square @ square.T, check_errors=True), tj.linalg.lu(square),
            tj.linalg.cond(square, 1), np.cumulative_sum(y, include_initial=True),
            tj.linalg.householder_product(square, y[:2]), tj.median(x[:0]),
        ]  # fmt: skip

    wanted, got = (
        plain(f(*[tj.tensor(a, device=there) for a in (X, Y)]), there) for there in ("cpu", device)
    )
    close(got, wanted, 1e-11)


def test_hooks_and_accumulation(device):
    def f(x):
        x.requires_grad_()
        y = x * 2
        y.retain_grad()
        y.register_hook(lambda g: g * 10)
        (y * y).sum().backward(retain_graph=True)
        (y * y).sum().backward()
        return x.grad, y.grad, tj.autograd.grad((x**3).sum(), x)[0]

    agree(f, device, X)


def test_copies_between_devices(device):
    x = tj.tensor(X, device=device, requires_grad=True)
    y = (x.cpu() ** 2).to(device).sum()
    y.backward()
    assert x.grad.is_cuda
    probing.close(x.grad.cpu().numpy(), 2 * X, 1e-12)
    if tj.cuda.device_count() > 1:
        z = x.detach().to("cuda:1")
        assert z.device == tj.device("cuda:1")
        with pytest.raises(DeviceError, match="cuda:0 and cuda:1"):
            _ = x + z


def test_other_libraries_take_and_give(device):
    """Memory that the interface names, as CuPy sees it; more in test_exchange.py."""

    class Theirs:
        def __init__(self, tensor):
            self.tensor = tensor
            self.__cuda_array_interface__ = tensor.__cuda_array_interface__

    x = tj.tensor(X, device=device)[:, ::2]
    shared = tj.as_tensor(Theirs(x))
    shared.mul_(2.0)
    close(plain(x, device), 2 * X[:, ::2])
    assert tj.from_dlpack(x).data_ptr() == x.data_ptr()
    close(plain(tj.grad(lambda x: (x**2).sum())(Theirs(x)), device), 4 * X[:, ::2])


def test_no_warning_comes_up(device):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tj.log(tj.zeros(2, device=device)) / tj.zeros(2, device=device)


def test_no_elements_are_written(device):
    """Views without elements stay views; no places, nothing changed, and slopes of 0."""

    def f(x, v):
        found = []
        for key in (slice(2, 1), x[:, 0] > 99, tj.zeros(0, dtype=tj.int64, device=x.device)):
            for form in ("=", "+="):
                a, b = x.clone().requires_grad_(), v.clone().requires_grad_()
                y = a * 1.0
                exec(f"y[key] {form} b", {"y": y, "key": key, "b": b})
                y[key] *= 2.0
                found += [y, *tj.autograd.grad((y * y).sum(), [a, b], allow_unused=False)]
        empty = x[2:1]
        return [*found, tj.tensor(empty._base is x)]

    agree(f, device, X, np.array(1.5))
