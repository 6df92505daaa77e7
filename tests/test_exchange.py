"""Memory shared with other libraries: in and out, streams, lifetimes, and what is refused.

On GPUs a library of our own making is the other side: `Foreign` has memory of a simulated GPU and
speaks either protocol, as CuPy does.  On the host it is PyTorch and NumPy themselves.
"""

from __future__ import annotations

import gc
import warnings
import weakref

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ArgumentError, AutogradError, DeviceError, DtypeError
from tapejit.runtime.cuda import dlpack
from tapejit.runtime.cuda.machines import machine
from tapejit.runtime.cuda.simulator.machine import SimulatedEvent, SimulatedMachine, SimulatedStream

DTYPES = ["float32", "float64", "float16", "int8", "int32", "int64", "uint8", "bool"]
DTYPES += ["complex64", "complex128"]


@pytest.fixture(autouse=True)
def simulated():
    with tj.config.set(cuda="simulator"):
        yield


class Foreign:
    """An array of another library on a simulated GPU: a view of elements that it owns."""

    def __init__(self, array, view=(), number=0, stream=1, read_only=False):
        self.machine = machine(number)
        owner = np.ascontiguousarray(array)
        self.memory = self.machine.allocate(max(owner.nbytes, 1))
        if owner.size:
            self.machine.copy_in(self.memory.address, owner)
        self.host = self.memory.bytes[: owner.nbytes].view(owner.dtype).reshape(owner.shape)
        self.host = self.host[(*np.index_exp[view], ...)]
        self.stream, self.read_only = stream, read_only
        self.number = number

    @property
    def interface(self):
        return {
            "shape": self.host.shape,
            "typestr": self.host.dtype.str,
            "data": (self.host.ctypes.data if self.host.size else 0, self.read_only),
            "strides": None if self.host.flags.c_contiguous else self.host.strides,
            "version": 3,
            "stream": self.stream,
        }


class ByInterface(Foreign):
    @property
    def __cuda_array_interface__(self):
        return self.interface


class ByCapsule(Foreign):
    """Keeps what it was asked, and itself alive as long as a capsule of it is."""

    asked: dict | None = None

    def __dlpack_device__(self):
        return dlpack.CUDA, self.number

    def __dlpack__(self, **asked):
        self.asked = asked
        steps = tuple(s // self.host.itemsize for s in self.host.strides)
        place, version = self.host.ctypes.data, "max_version" in asked
        facts = self.host.dtype, self.host.shape, steps
        device = self.__dlpack_device__()
        return dlpack.capsule_of(place, device, *facts, self, version, self.read_only)


class OldCapsule(ByCapsule):
    """From before DLPack 1.0."""

    def __dlpack__(self, *, stream=None):
        return super().__dlpack__(stream=stream)


KINDS = [ByInterface, ByCapsule, OldCapsule]
VIEWS = [
    ((6,), ()),
    ((3, 4), (slice(None), slice(1, 3))),
    ((3, 4), (slice(None, None, 2), slice(None, None, -1))),
    ((4, 3), (2,)),
    ((2, 3), (1, 2)),
    ((), ()),
    ((0, 3), ()),
    ((2, 3, 2), (slice(None), None, 1)),
]


def numbers(shape, dtype="float64"):
    return np.arange(1, 1 + np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


def host(tensor):
    return tensor.cpu().numpy()


# ---------------------------------------------------------------- in, on a GPU


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape, view", VIEWS, ids=str)
def test_an_array_comes_in_as_it_lies(kind, shape, view):
    foreign = kind(numbers(shape), view)
    for take in (tj.from_dlpack, tj.as_tensor, tj.asarray):
        x = take(foreign)
        assert x.device == tj.device("cuda", 0) and x.shape == foreign.host.shape
        np.testing.assert_array_equal(host(x), foreign.host)
        if x.numel():
            assert x.data_ptr() == foreign.host.ctypes.data
            foreign.host[...] = foreign.host + 1
            np.testing.assert_array_equal(host(x), foreign.host)
            x += 1
            np.testing.assert_array_equal(host(x), foreign.host)
    np.testing.assert_allclose(host(tj.sin(x) * 2), np.sin(foreign.host) * 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_dtypes_come_in_and_go_out(kind, dtype):
    x = tj.from_dlpack(kind(numbers((2, 3), dtype)))
    assert x.dtype == getattr(tj, dtype)
    back = tj.from_dlpack(kind(host(x)))
    np.testing.assert_array_equal(host(back), numbers((2, 3), dtype))
    again = tj.from_dlpack(x)
    assert again.dtype == x.dtype and again.data_ptr() == x.data_ptr()
    assert x.__cuda_array_interface__["typestr"] == np.dtype(dtype).str


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_a_copy(kind):
    foreign = kind(numbers((2, 3)), (slice(None), slice(None, None, 2)))
    for x in (tj.tensor(foreign), tj.from_dlpack(foreign, copy=True)):
        foreign.host[...] = 7.0
        assert x.is_cuda and 7.0 not in host(x) and x.is_contiguous()
        foreign.host[...] = numbers((2, 3))[:, ::2]
    x = tj.tensor(foreign, dtype=tj.float32, requires_grad=True)
    assert x.dtype == tj.float32 and x.requires_grad and x.is_leaf
    assert tj.tensor(foreign, device="cpu").device == tj.device("cpu")
    assert tj.from_dlpack(foreign, device="cuda:1").device == tj.device("cuda:1")
    assert tj.as_tensor(foreign, dtype=tj.float32, device="cpu").dtype == tj.float32
    with pytest.raises(ArgumentError, match="from cuda:0 to cpu is a copy"):
        tj.from_dlpack(foreign, device="cpu", copy=False)


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_of_transforms(kind):
    """What comes out are tensors on the GPU that the argument lies on."""
    array = numbers((3, 4))
    foreign = kind(array, (slice(None), slice(None, None, 3)), number=1)
    known = host(tj.tensor(foreign))

    def f(x, scale):
        return (tj.sin(x) * scale).sum()

    gradient = tj.grad(f)
    for _ in range(4):
        got = gradient(foreign, 2.0)
        assert isinstance(got, tj.Tensor) and got.device == tj.device("cuda:1")
        np.testing.assert_allclose(host(got), 2.0 * np.cos(known), rtol=1e-12)
    assert "1 path, recorded 1 time" in str(tj.explain(gradient))
    foreign.host[...] += 0.5
    np.testing.assert_allclose(host(gradient(foreign, 3.0)), 3.0 * np.cos(known + 0.5), rtol=1e-12)
    value, (slope,) = tj.value_and_grad(lambda p: f(p[0], 1.0))([foreign])
    np.testing.assert_allclose(value.item(), np.sin(known + 0.5).sum(), rtol=1e-12)
    assert slope.device == tj.device("cuda:1")
    assert host(tj.jit(lambda x: x.T @ x)(foreign)).shape == (2, 2)
    assert tj.jacobian(lambda x: x[0] * 2)(foreign).shape == (2, 3, 2)
    (both,) = tj.vjp(lambda x: x * 2, foreign)[1](foreign)
    assert both.device == tj.device("cuda:1")
    inner = tj.grad(lambda x: tj.grad(f)(x, 1.0).sum())(foreign)
    np.testing.assert_allclose(host(inner), -np.sin(known + 0.5), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_operands_are_taken_and_never_frozen(kind):
    foreign = kind(numbers(3))
    x = tj.ones(3, dtype=tj.float64, device="cuda", requires_grad=True)
    (x * foreign).sum().backward()
    np.testing.assert_array_equal(host(x.grad), numbers(3))
    y = tj.zeros(3, dtype=tj.float64, device="cuda")
    y[1:] = kind(numbers(2))
    assert y.tolist() == [0.0, 1.0, 2.0] and (y @ foreign).item() == 8.0
    assert y[kind(np.array([2, 0]))].tolist() == [2.0, 0.0]
    f = tj.grad(lambda x: (x * foreign).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # it is recorded at every call
        np.testing.assert_array_equal(host(f(x.detach())), numbers(3))
        for _ in range(3):
            foreign.host[...] *= 2
            np.testing.assert_array_equal(host(f(x.detach())), foreign.host)


# ---------------------------------------------------------------- lifetimes


@pytest.mark.parametrize("kind", KINDS)
def test_the_producer_lives_as_long_as_its_memory_is_used(kind):
    foreign = kind(numbers((4, 3)))
    gone = weakref.ref(foreign)
    view = tj.from_dlpack(foreign)[1:, 2]
    del foreign
    gc.collect()
    assert gone() is not None
    np.testing.assert_array_equal(host(view), numbers((4, 3))[1:, 2])
    del view
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("version", [None, (1, 1)])
def test_a_capsule_lets_go_once(version):
    x = tj.ones(5, device="cuda")
    memory = weakref.ref(x._value)
    held = machine(0).memory_use().held
    unopened = x.__dlpack__(max_version=version)
    capsule = x.__dlpack__(max_version=version)
    shared = tj.from_dlpack(capsule)
    with pytest.raises(BufferError, match="each is opened once"):
        tj.from_dlpack(capsule)
    del x, capsule, unopened
    gc.collect()
    assert memory() is None and machine(0).memory_use().held == held
    np.testing.assert_array_equal(host(shared), np.ones(5))
    del shared
    gc.collect()
    assert machine(0).memory_use().held < held


def test_the_deleter_is_called_once(monkeypatch):
    n_calls = []
    opened = dlpack.opened

    def counted(capsule):
        found = opened(capsule)
        return found._replace(release=lambda: (n_calls.append(1), found.release()))

    monkeypatch.setattr(dlpack, "opened", counted)
    x = tj.from_dlpack(ByCapsule(numbers(3)))
    y = x[1:]
    del x
    gc.collect()
    assert not n_calls
    del y
    gc.collect()
    assert n_calls == [1]


# ---------------------------------------------------------------- streams


@pytest.fixture
def waits(monkeypatch):
    """(stream that waits, stream it waits for), and the times that all was waited for."""
    found = []
    record = SimulatedEvent.record

    def noted(event, stream):
        event.stream = stream.handle
        record(event, stream)

    monkeypatch.setattr(SimulatedEvent, "record", noted)
    wait = lambda stream, event: found.append((stream.handle, event.stream))  # noqa: E731
    monkeypatch.setattr(SimulatedStream, "wait", wait)
    monkeypatch.setattr(SimulatedMachine, "synchronize", lambda m: found.append("all"))
    monkeypatch.setattr(machine(0), "_used", {1})
    return found


def test_what_comes_in_is_waited_for(waits):
    tj.from_dlpack(ByInterface(numbers(3), stream=1))
    tj.from_dlpack(ByInterface(numbers(3), stream=None))
    gc.collect()
    assert waits == []
    x = tj.from_dlpack(ByInterface(numbers(3), stream=4711))
    assert waits == [(1, 4711)]
    del x
    gc.collect()
    assert waits == [(1, 4711), "all"]  # its owner may use the memory at once in another stream
    side = tj.cuda.Stream()
    foreign = ByCapsule(numbers(3))
    with tj.cuda.stream(side):
        tj.from_dlpack(foreign)
    assert foreign.asked == {"stream": side.cuda_stream, "max_version": dlpack.VERSION}
    old = OldCapsule(numbers(3))
    tj.from_dlpack(old)
    assert old.asked == {"stream": 1}


def test_who_takes_in_ours_waits(waits):
    x = tj.ones(3, device="cuda")
    x.__dlpack__()
    x.__dlpack__(stream=1)
    x.__dlpack__(stream=-1)
    assert waits == [] and x.__cuda_array_interface__["stream"] == 1
    capsule = x.__dlpack__(stream=2)
    assert waits == [(2, 1)]
    del capsule
    assert waits == [(2, 1), "all"]
    side = tj.cuda.Stream()
    with tj.cuda.stream(side):
        assert x.__cuda_array_interface__["stream"] == side.cuda_stream
        x.__dlpack__()
    assert waits[2] == (1, side.cuda_stream)
    with pytest.raises(ValueError, match="stream=0"):
        x.__dlpack__(stream=0)
    with pytest.raises(TypeError, match="must be an integer"):
        x.__dlpack__(stream=side)


def test_other_libraries_streams():
    stream = tj.cuda.ExternalStream(4711)
    with tj.cuda.stream(stream):
        x = tj.ones(2, device="cuda")
        assert x.__cuda_array_interface__["stream"] == 4711
        assert tj.cuda.current_stream() == stream
    del stream


# ---------------------------------------------------------------- refusals


def changed(**facts):
    class Changed(Foreign):
        @property
        def __cuda_array_interface__(self):
            return {**self.interface, **facts}

    return Changed(numbers(4))


def test_what_cannot_be_shared_is_said():
    outside = np.zeros(4)
    for error, words, x in [
        (DtypeError, "lose its mask", changed(mask=ByInterface(numbers(4)))),
        (DtypeError, "no tensor holds", changed(typestr="<U4")),
        (DtypeError, "byte order", changed(typestr=">f8")),
        (DtypeError, "strides of", changed(strides=(4,))),
        (DeviceError, "no address of a GPU", changed(data=(outside.ctypes.data, False))),
    ]:
        with pytest.raises(error, match=words):
            tj.from_dlpack(x)
        with pytest.raises(error, match=words):
            tj.grad(lambda x: x.sum())(x)
    with pytest.raises(TypeError, match="has no __dlpack__"):
        tj.from_dlpack([1.0])
    shifted = changed()
    with pytest.raises(DtypeError, match="at address"):
        tj.from_dlpack(changed(data=(shifted.interface["data"][0] + 4, False)))
    with pytest.raises(tj.errors.GpuUnavailable, match="2 simulated GPUs"):
        far = ByCapsule(numbers(3))
        far.number = 5
        tj.from_dlpack(far)


@pytest.mark.parametrize("kind", [ByInterface, ByCapsule])
def test_read_only_memory_is_read(kind):
    foreign = kind(numbers(4), read_only=True)
    x = tj.from_dlpack(foreign)
    np.testing.assert_array_equal(host(x * 2), 2 * numbers(4))
    with pytest.raises(AutogradError, match="read-only"):
        x[1:].add_(1.0)
    assert x.__cuda_array_interface__["data"][1]
    with pytest.raises(BufferError):
        x.__dlpack__()
    assert not tj.from_dlpack(x)._value.flags.writeable
    y = x.clone()
    y += 1.0
    np.testing.assert_array_equal(foreign.host, numbers(4))


def test_tensors_that_require_grad_are_not_shared():
    x = tj.ones(2, device="cuda", requires_grad=True)
    with pytest.raises(BufferError, match=r"use tensor.detach\(\)"):
        x.__dlpack__()
    with pytest.raises(RuntimeError, match=r"Variable that requires grad"):
        _ = x.__cuda_array_interface__
    assert tj.from_dlpack(x.detach()).data_ptr() == x.data_ptr()
    assert not hasattr(tj.ones(2), "__cuda_array_interface__")


def test_nothing_is_copied_to_the_host_unasked():
    x = tj.ones(3, device="cuda")
    with pytest.raises(DtypeError, match=r"Tensor.cpu\(\)"):
        np.asarray(x)
    with pytest.raises(RuntimeError, match="device"):
        np.from_dlpack(x)
    np.testing.assert_array_equal(np.from_dlpack(x.cpu()), np.ones(3))
    with pytest.raises(BufferError):
        x.__dlpack__(dl_device=(1, 0), copy=False)
    moved = tj.from_dlpack(x.__dlpack__(dl_device=(2, 1)))
    assert moved.device == tj.device("cuda:1")


def test_a_traced_tensor_that_is_shared_is_traced_again():
    def f(x):
        return x * host(tj.from_dlpack(x.detach())).sum()

    run = tj.jit(f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for k in (1.0, 2.0, 3.0):
            x = tj.full((2,), k, device="cuda")
            np.testing.assert_allclose(host(run(x)), 2 * k * k)


# ---------------------------------------------------------------- the host


@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_both_ways(dtype):
    torch = pytest.importorskip("torch")
    theirs = torch.arange(12).to(getattr(torch, dtype)).reshape(3, 4).T[::2]
    ours = tj.from_dlpack(theirs)
    assert ours.dtype == getattr(tj, dtype) and ours.stride() == theirs.stride()
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    back = torch.from_dlpack(ours)
    assert back.data_ptr() == theirs.data_ptr() == ours.data_ptr()
    theirs[0, 0] = True
    ours[1, 1] = 0
    assert back[0, 0].item() == ours[0, 0].item() == 1 and theirs[1, 1].item() == 0
    assert tj.as_tensor(theirs).data_ptr() == theirs.data_ptr()
    assert tj.tensor(theirs).data_ptr() != theirs.data_ptr()
    assert tj.tensor(theirs).dtype == ours.dtype


def test_torch_says_no_for_what_requires_grad():
    torch = pytest.importorskip("torch")
    with pytest.raises(BufferError, match="require gradient"):
        tj.from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(BufferError, match="require gradient"):
        torch.from_dlpack(tj.ones(2, requires_grad=True))
    with pytest.raises(DeviceError, match="Unsupported dtype"):
        tj.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(tj.errors.TraceError, match=r"tapejit.from_dlpack\(...\)"):
        tj.grad(lambda x: x.sum())(torch.ones(2))


def test_arrays_that_may_not_be_written():
    array = numbers(3)
    array.flags.writeable = False
    shared = tj.from_dlpack(array)
    with pytest.raises(AutogradError, match="read-only"):
        shared.add_(1.0)
    with pytest.raises(DtypeError, match="mask"):
        tj.from_dlpack(np.ma.masked_array(numbers(3), [True, False, False]))


def test_capsules_alone():
    array = numbers((2, 3))
    shared = tj.from_dlpack(array.__dlpack__())
    np.testing.assert_array_equal(shared.numpy(), array)
    lazily = tj.from_dlpack(tj.zeros(3, device="cuda").__dlpack__(max_version=(1, 0)))
    assert lazily.is_cuda
