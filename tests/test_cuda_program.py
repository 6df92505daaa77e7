"""Programs on a simulated GPU, and on a card where there is one, against the CPU's reference.

Programs are recorded from functions of tensors, with their reverse sweep behind them; the same
arrays go to both.  Nothing here knows what kernels look like: their text has tests of its own.
"""

from __future__ import annotations

import re
import sys
import threading

import numpy as np
import probing
import pytest
from cuda_libraries import CublasByDefinition, MachineWithLibraries

import tapejit as tj
from tapejit import config, dtypes
from tapejit.autodiff import reverse
from tapejit.build import Builder
from tapejit.errors import AxisError, GpuUnavailable, LaunchError, LinAlgError, NoGpuForm
from tapejit.registry import OPS, Operand
from tapejit.runtime import reference
from tapejit.runtime.cuda.arrays import DeviceArray, to_host_together
from tapejit.runtime.cuda.compiling import compile_ptx, link
from tapejit.runtime.cuda.copies import (
    FLOATS,
    INTEGERS,
    cast_launches,
    copy_launches,
    text_launches,
)
from tapejit.runtime.cuda.forms import spectra
from tapejit.runtime.cuda.forms.forming import formed
from tapejit.runtime.cuda.libraries import calls
from tapejit.runtime.cuda.machines import machine
from tapejit.runtime.cuda.program import compile_for_device
from tapejit.runtime.cuda.simulator.machine import SimulatedMachine
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program
from tapejit.transforms import trees
from tapejit.transforms.trace import trace

RANDOM = np.random.default_rng(7)
MACHINE = SimulatedMachine()
EVERYWHERE = pytest.mark.parametrize(
    "where", ["simulated", pytest.param("card", marks=pytest.mark.gpu)]
)


def machine_at(where):
    return MACHINE if where == "simulated" else machine(0)


def normal(*shape, dtype=np.float64):
    return RANDOM.normal(size=shape).astype(dtype)


def recorded(function, arrays, wrt=None) -> tuple[Program, list]:
    """The program of a function, with its value's slopes by the arguments `wrt`; and its inputs,
    which are the arrays, then the function's own numbers."""
    leaves = []
    structure = trees.flatten((tuple(arrays), {}), leaves)
    traced = trace(function, structure, leaves)
    tape, outputs = traced.recording, [int(row) for row in traced.outputs]
    if wrt is not None:
        sweep = reverse(tape, outputs[:1], [traced.inputs[k] for k in wrt], unit_seed=True)
        tape, outputs = sweep.tape, [*outputs, *sweep.results]
    own = [row for row in traced.recording.constants.values() if row not in traced.inputs]
    numbers = [traced.recording.values[row] for row in own]
    return simplify(Program(tape, (*traced.inputs, *own), outputs)), [*arrays, *numbers]


def emitted(function, arrays) -> Program:
    """The program of a function of Refs."""
    builder = Builder()
    refs = [builder.input(aval(np.shape(x), dtypes.from_numpy(x.dtype))) for x in arrays]
    results = function(*refs)
    return simplify(Program(builder.tape, [x.row for x in refs], [y.row for y in results]))


def on_device(arrays, machine=MACHINE):
    return [DeviceArray.from_host(machine, x) if np.ndim(x) else x for x in arrays]


def check(program, arrays, calls=1, machine=MACHINE):
    """Run on the device, and compare; the compiled program is returned."""
    wanted = reference.run(program, arrays)
    found = compile_for_device(program, machine)
    for _ in range(calls):
        results = found(on_device(arrays, machine))
        for got, want in zip(results, wanted, strict=True):
            compare(got.to_host(), np.asarray(want))
    return found


def compare(got, want):
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    tolerance = {"f": 2e-3, "e": 2e-2, "F": 1e-4}.get(want.dtype.char, 1e-9)
    scale = np.max(np.abs(want), initial=0.0, where=np.isfinite(want))
    np.testing.assert_allclose(got, want, tolerance, tolerance * max(scale, 1e-30))


# ---------------------------------------------------------------- what people compute


def chain(x, w):
    return ((x * w).sigmoid() * x.sin()).sum()


def logistic(theta, x, y):
    z = x @ theta
    return tj.nn.functional.binary_cross_entropy_with_logits(z, y) + 0.1 * (theta * theta).sum()


def perceptron(x, w1, b1, w2, b2):
    return (((x @ w1 + b1).tanh() @ w2 + b2) ** 2).mean()


def cross_entropy(x, w, labels):
    return tj.nn.functional.cross_entropy(x @ w, labels)


def heat(u):
    for _ in range(3):
        inner = u[1:-1, 1:-1]
        around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
        u = tj.nn.functional.pad(inner + 0.2 * (around - 4 * inner), (1, 1, 1, 1))
    return (u * u).sum()


def recurrent(x):
    for k in range(40):
        x = (x * 1.01 + 0.01 * k).sin()
    return x.sum()


LABELS = np.array([2, 0, 1, 1, 2, 0])
PROGRAMS = {
    "chain": (chain, [normal(3, 11), normal(3, 11)], (0, 1)),
    "chain32": (chain, [normal(37, dtype="f4"), normal(37, dtype="f4")], (0, 1)),
    "logistic": (logistic, [normal(4), normal(9, 4), (normal(9) > 0) * 1.0], (0,)),
    "perceptron": (
        perceptron, [normal(6, 5), normal(5, 4), normal(4), normal(4, 2), normal(2)], (1, 2, 3, 4),
    ),
    "cross entropy": (cross_entropy, [normal(6, 4), normal(4, 3), LABELS], (0, 1)),
    "heat": (heat, [normal(6, 7)], (0,)),
    "recurrent": (recurrent, [normal(5)], (0,)),
    "softmax": (lambda x: (x.softmax(-1) * x).sum(0).amax(), [normal(4, 9)], (0,)),
}  # fmt: skip


@EVERYWHERE
@pytest.mark.parametrize("name", PROGRAMS)
def test_value_and_slopes(name, where):
    function, arrays, wrt = PROGRAMS[name]
    check(*recorded(function, arrays, wrt), machine=machine_at(where))


CONVOLUTIONS = [
    {"channels": (20, 16), "padding": 1, "stride": (2, 1)},
    {"channels": (40, 32), "groups": 2},
    {"stride": 2, "padding": 1},
    {"groups": 2},
    {"dilation": 2, "padding": (1, 0)},
    {"stride": (1, 2), "padding": 1, "groups": 4},
]


@EVERYWHERE
@pytest.mark.parametrize("how", CONVOLUTIONS)
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2)])
def test_convolution(how, kernel, where):
    how = dict(how)

    def loss(x, w, b, gy):
        y = tj.nn.functional.conv2d(x, w, b, **how)
        return (y * gy[:, :, : y.shape[2], : y.shape[3]]).sum()

    c, o = how.pop("channels", (4, 4))
    groups = how.get("groups", 1)
    arrays = [normal(2, c, 5, 4), normal(o, c // groups, *kernel), normal(o), normal(2, o, 9, 8)]
    check(*recorded(loss, arrays, (0, 1, 2)), machine=machine_at(where))


def test_transposed_convolution():
    def loss(x, w):
        return (tj.nn.functional.conv_transpose1d(x, w, stride=2, padding=1) ** 2).sum()

    check(*recorded(loss, [normal(2, 4, 5), normal(4, 3, 3)], (0, 1)))


# ---------------------------------------------------------------- all operations

NO_FORM = {
    "any dtype": {"bits", "to_device"},
    "float16": {"nextafter"},
}
"""What raises NoGpuForm."""


def may_lack(case):
    """Whether an operation is known to have no form for a dtype."""
    name, dtype = case.op.name, case.dtype
    return any(name in NO_FORM.get(kind, ()) for kind in ("any dtype", dtype.name))


@EVERYWHERE
@pytest.mark.parametrize("family", sorted({op.family for op in probing.probed()}))
def test_operations_of_a_family(family, where):
    for op in probing.probed():
        if op.family != family or op.name == "nonzero":
            continue
        of_dtype = {case.dtype: case for case in probing.cases(op)[::-1]}
        for case in (*of_dtype.values(), *probing.narrow_cases(op)):
            arrays = probing.inputs_of(case)
            record = probing.recorded(case, arrays)
            program = simplify(Program(record.tape, record.inputs, [record.row]))
            try:
                check(program, arrays, machine=machine_at(where))
            except NoGpuForm:
                assert may_lack(case), str(case)


def test_powers_of_integers():
    x, n = np.array([[-3], [-1], [0], [1], [2]]), np.array([-3, -2, 0, 1, 5])
    found = compile_for_device(emitted(lambda x, n: [OPS["pow"](x, n)], [x, n]), MACHINE)
    (powers,) = found(on_device([x, n]))
    wanted = [  # negative powers rounded towards 0, as PyTorch has it
        [0, 0, 1, -3, -243], [-1, 1, 1, -1, -1], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 2, 32],
    ]  # fmt: skip
    np.testing.assert_array_equal(powers.to_host(), wanted)


def test_places_of_nonzero_elements():
    x = np.array([0.0, 2.0, np.nan, 0.0, -1.0])
    check(emitted(lambda x: [OPS["nonzero"](x, count=3)], [x]), [x])


# ---------------------------------------------------------------- matrix products

LAYOUTS = {
    "plain": lambda x: x,
    "turned": lambda x: OPS["permute"](x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)),
    "backwards": lambda x: OPS["flip"](x, axes=(x.ndim - 1,)),
    "every other": lambda x: OPS["slice"](
        x, starts=(0,) * x.ndim, lengths=tuple(-(-n // 2) for n in x.shape), steps=(2,) * x.ndim
    ),
    "broadcast": lambda x: OPS["expand"](
        OPS["slice"](x, starts=(0,) * x.ndim, lengths=(1, *x.shape[1:]), steps=(1,) * x.ndim),
        shape=x.shape,
    ),
}
SHAPES = [
    ((3, 4), (4, 5)), ((1, 4), (4, 5)), ((3, 1), (1, 5)), ((3, 4), (4, 1)), ((4,), (4, 5)),
    ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)),
    ((3, 4), (2, 4, 5)), ((2, 3, 4), (4,)), ((2, 1, 3, 4), (3, 4, 2)), ((3, 2, 3, 4), (2, 4, 2)),
]  # fmt: skip


@EVERYWHERE
@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
def test_products_of_all_layouts(left, right, where):
    make = {
        "turned": lambda s: (*s[:-2], s[-1], s[-2]),
        "every other": lambda s: [2 * n for n in s],
    }
    for shapes in SHAPES:
        if {"turned", "broadcast"} & {left, right} and min(map(len, shapes)) < 2:
            continue
        whole = [make.get(k, tuple)(s) for k, s in zip((left, right), shapes, strict=True)]
        arrays = [normal(*s) for s in whole]
        check(
            emitted(lambda x, y: [OPS["matmul"](LAYOUTS[left](x), LAYOUTS[right](y))], arrays),
            arrays,
            machine=machine_at(where),
        )


@EVERYWHERE
@pytest.mark.parametrize("dtype", ["float16", "float32", "complex64", "complex128"])
def test_products_of_all_dtypes(dtype, where):
    arrays = [normal(3, 4).astype(dtype), normal(4, 2).astype(dtype)]
    if dtype.startswith("c"):
        arrays = [(x + 1j * normal(*x.shape)).astype(dtype) for x in arrays]
    check(emitted(lambda x, y: [OPS["matmul"](x, y)], arrays), arrays, machine=machine_at(where))


def test_cublas_is_told_what_its_manual_asks_for(monkeypatch):
    cublas = CublasByDefinition("cublas")
    monkeypatch.setitem(sys.modules, "nvmath.bindings.cublas", cublas)
    machine = MachineWithLibraries()
    for shapes in SHAPES:
        arrays = [normal(*shape) for shape in shapes]
        check(emitted(lambda x, y: [OPS["matmul"](x, y)], arrays), arrays, machine=machine)
    for dtype in ("float16", "float32", "complex64", "complex128"):
        arrays = [normal(2, 5, 4).astype(dtype), normal(2, 3, 4).astype(dtype)]
        check(
            emitted(lambda x, y: [OPS["matmul"](x, LAYOUTS["turned"](y))], arrays), arrays,
            machine=machine,
        )  # fmt: skip
    for name in ("perceptron", "cross entropy"):  # workspaces among other things in the arena
        check(*recorded(*PROGRAMS[name]), machine=machine)
    assert cublas.calls.count("create") == 1
    last = [call for call in cublas.calls if call != "create"][:3]
    assert last == ["set_stream", "set_workspace", "gemm"]


def test_without_cublas_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nvmath.bindings.cublas", None)
    monkeypatch.setitem(sys.modules, "cupy", None)
    arrays = [np.ones((2, 2))] * 2
    with pytest.raises(GpuUnavailable, match="cuda13-blas") as caught:
        compile_for_device(
            emitted(lambda x, y: [OPS["matmul"](x, y)], arrays), MachineWithLibraries()
        )
    assert caught.value.reason == "package"


# ---------------------------------------------------------------- Fourier transforms


@pytest.mark.parametrize("n", [1, 2, 3, 8, 13, 30, 54, 66])
def test_transforms_of_any_length(n, monkeypatch):
    if n != 66:  # cut in three or four
        monkeypatch.setattr(spectra, "DIRECT", 3)

    def results(x):
        z = OPS["dft"](x, axes=(1,), inverse=False, scale="none")
        half = OPS["rdft"](x, axes=(1,), scale="ortho", doubled=True)
        return [
            z, half, OPS["dft"](z, axes=(1, 0), inverse=True, scale="full"),
            OPS["irdft"](half, axes=(0, 1), n=n, scale="full", halved=True),
        ]  # fmt: skip

    for dtype in ("f4", "f8"):
        x = normal(2, n, dtype=dtype)
        check(emitted(results, [x]), [x])


def test_slopes_of_transforms():
    def loss(x, h):
        spectrum = tj.fft.rfft(x) * tj.fft.rfft(h)
        return (tj.fft.irfft(spectrum, n=12) ** 2).sum() + spectrum.abs().sum()

    check(*recorded(loss, [normal(3, 12), normal(12)], (0, 1)))


@pytest.mark.parametrize("n", [11, 33])
def test_lengths_of_large_primes(n, monkeypatch):
    """By a chirp: all of the length, or a part of it."""
    monkeypatch.setattr(spectra, "DIRECT", 3)
    monkeypatch.setattr(spectra, "LARGEST", 7)

    def results(x):
        z = OPS["dft"](x, axes=(1,), inverse=False, scale="none")
        half = OPS["rdft"](x, axes=(1,), scale="none", doubled=False)
        return [
            z, half, OPS["dft"](z, axes=(1,), inverse=True, scale="full"),
            OPS["irdft"](half, axes=(1,), n=n, scale="full", halved=False),
        ]  # fmt: skip

    for dtype in ("f4", "f8"):
        x = normal(2, n, dtype=dtype)
        check(emitted(results, [x]), [x])


@pytest.mark.parametrize("n", [2053, 3 * 4099, 65537])
def test_chirps_are_as_exact_as_matrices(n):
    """The operations that a GPU does, by NumPy: squares are far beyond what floats hold."""
    x = normal(1, n) + 1j * normal(1, n)
    for dtype, room in ("c16", 2e-14), ("c8", 2e-6):
        a = x.astype(dtype)
        program = emitted(lambda z: [OPS["dft"](z, axes=(1,), inverse=True, scale="ortho")], [a])
        with np.errstate(all="ignore"):
            (got,) = reference.run(formed(program), [a])
        want = np.fft.ifft(a.astype(complex), norm="ortho")
        assert np.abs(got - want).max() < room * np.abs(want).max()


# ---------------------------------------------------------------- results


def test_views_and_inputs_as_results_are_copies():
    x = normal(3, 4)

    def views(x):
        return [
            x, OPS["permute"](x, axes=(1, 0)), OPS["flip"](x, axes=(0,)),
            OPS["reshape"](x, shape=(12,)), x * 2.0, OPS["permute"](x * 2.0, axes=(1, 0)),
        ]  # fmt: skip

    program = emitted(views, [x])
    check(program, [x])
    given = on_device([x])
    results = compile_for_device(program, MACHINE)(given)
    for result in results:
        result[...] = np.zeros(result.shape)
    np.testing.assert_array_equal(given[0].to_host(), x)
    assert len({result.address for result in results}) == len(results)


@EVERYWHERE
@pytest.mark.parametrize("dtype", "?bBhiledFD")
def test_elements_of_any_dtype_are_moved(dtype, where):
    x = (40 * normal(3, 4)).astype(dtype)

    def moved(x):
        return [
            OPS["permute"](x, axes=(1, 0)),
            OPS["slice"](x, starts=(0, 3), lengths=(2, 2), steps=(2, -2)),
            OPS["expand"](
                OPS["slice"](x, starts=(1, 1), lengths=(1, 1), steps=(1, 1)), shape=(2, 3)
            ),
        ]

    check(emitted(moved, [x]), [x], machine=machine_at(where))


DTYPES = "?bBhilefd"


@EVERYWHERE
@pytest.mark.parametrize("dtype", DTYPES)
def test_casts_of_any_dtype(dtype, where):
    x = np.abs(20 * normal(3, 4)).astype(dtype)
    names = [dtypes.from_numpy(np.dtype(to)).name for to in DTYPES]

    def cast(x):
        turned = OPS["permute"](x, axes=(1, 0))
        return [OPS["cast"](y, dtype=name) for name in names for y in (x, turned)]

    check(emitted(cast, [x]), [x], machine=machine_at(where))


@pytest.mark.parametrize("dtype", "eFD")
def test_elements_are_put_elsewhere(dtype):
    x, part = normal(3, 4).astype(dtype), normal(2, 2).astype(dtype)

    def moved(x, part):
        ways = {"starts": (2, 0), "steps": (-1, 2)}
        return [
            OPS["cat"](x, x, axis=1), OPS["replace"](x, part, **ways),
            OPS["unslice"](part, shape=(4, 3), **ways), OPS["clone"](x),
            OPS["reshape"](OPS["permute"](x, axes=(1, 0)), shape=(2, 6)), OPS["real"](x),
        ]  # fmt: skip

    check(emitted(moved, [x, part]), [x, part])


def test_slopes_through_complex_numbers():
    def loss(re, im, w):
        z = tj.complex(re, im) @ tj.complex(w, w)
        z = (z.exp() / (z * z + 2.0) + z.sqrt()).conj() * z[:, :1]
        return (z.abs() ** 2).sum() + z.angle().sum()

    arrays = [normal(3, 4), normal(3, 4), normal(4, 2)]
    check(*recorded(loss, arrays, (0, 1, 2)))


@pytest.mark.parametrize("dtype", "FD")
def test_edges_of_complex_functions(dtype):
    near = [0.0, -0.0, 1.0, -1.0, 2.5, -1e-3, 30.0, -30.0]
    z = np.array([complex(a, b) for a in near for b in near]).astype(dtype)

    def results(z):
        names = ("sqrt", "tanh", "sin", "exp", "abs", "angle", "square", "log")
        return [*(OPS[name](z) for name in names), OPS["div"](z, OPS["add"](z, 1e-3 + 2j))]

    check(emitted(results, [z]), [z])


def test_parts_of_complex_numbers():
    z, re, im = normal(3, 2) + 1j * normal(3, 2), normal(3, 2), normal(3, 2)

    def parts(z, re, im):
        turned = OPS["permute"](z, axes=(1, 0))
        return [
            *(OPS[part](x) for part in ("real", "imag", "view_as_real") for x in (z, turned)),
            OPS["complex"](re, im), OPS["view_as_complex"](re), OPS["conj"](re),
        ]  # fmt: skip

    check(emitted(parts, [z, re, im]), [z, re, im])


def test_results_without_axes_share_memory_and_come_in_one_transfer():
    x = normal(3, 5)
    program = emitted(lambda x: [OPS[f](x, axes=(0, 1), keepdim=False) for f in REDUCED], [x])
    results = check(program, [x])(on_device([x]))
    assert len({id(result.memory) for result in results}) == 1
    n_copies, copy_out = [], MACHINE.copy_out
    MACHINE.copy_out = lambda *given: n_copies.append(copy_out(*given))
    try:
        values = to_host_together([*results, *on_device([x])])
    finally:
        del MACHINE.copy_out
    assert len(n_copies) == 2
    for value, want in zip(values, [*reference.run(program, [x]), x], strict=True):
        compare(value, np.asarray(want))


REDUCED = ("sum", "amax", "prod")


def test_what_decides_in_python_comes_in_one_transfer(monkeypatch):
    @tj.jit
    def bounded(x):
        return x * 2 if x.sum() > 0 and x.amax() < 100 and (x * x).sum() > 0.1 else x

    with config.set(cuda="simulator"):
        x, gpu = tj.tensor([1.0, 2.0], device="cuda"), machine(0)
        bounded(x)
        sizes, copy_out = [], gpu.copy_out
        monkeypatch.setattr(gpu, "copy_out", lambda *to: sizes.append(to) or copy_out(*to))
        bounded(x)
        assert len(sizes) == 1
        monkeypatch.undo()
        assert bounded(x).tolist() == [2.0, 4.0] and bounded(-x).tolist() == [-1.0, -2.0]


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4)])
def test_arrays_without_elements(shape):
    x = np.empty(shape)
    axes = tuple(range(len(shape)))

    def results(x):
        found = [x, OPS["sin"](x), OPS["sum"](x, axes=axes, keepdim=False)]
        return [*found, OPS["prod"](x, axes=axes[:1], keepdim=True), OPS["cat"](x, x, axis=0)]

    check(emitted(results, [x]), [x])


def test_products_over_no_elements_are_zero():
    arrays = [np.empty((2, 0)), np.empty((0, 3))]
    check(emitted(lambda x, y: [OPS["matmul"](x, y)], arrays), arrays)


def test_literals_as_results():
    x = normal(2)

    def literals(x):
        number = x.builder.literal(2.5, aval((), dtypes.float32))
        many = x.builder.literal(3, aval((2, 3), dtypes.int64))
        return [number, many, OPS["permute"](many, axes=(1, 0)), OPS["expand"](number, shape=(3,))]

    check(emitted(literals, [x]), [x])


# ---------------------------------------------------------------- inputs


def test_numbers_among_inputs_go_in_one_copy():
    arrays = [normal(3), np.float64(2.5), np.float32(0.5), np.int64(3), np.bool_(True)]

    def results(x, a, b, n, flag):
        y = x * a + OPS["cast"](b, dtype="float64") * OPS["cast"](n, dtype="float64")
        return [OPS["where"](flag, y, x), a, n, flag]

    found = check(emitted(results, arrays), arrays)
    given = on_device(arrays)
    n_copies, copy_in = [], MACHINE.copy_in
    MACHINE.copy_in = lambda *given: n_copies.append(copy_in(*given))
    try:
        found(given)
    finally:
        del MACHINE.copy_in
    assert len(n_copies) == 1
    inside = found([given[0], *(DeviceArray.from_host(MACHINE, x) for x in arrays[1:])])
    for got, want in zip(inside, reference.run(found.program, arrays), strict=True):
        compare(got.to_host(), np.asarray(want))


def test_inputs_that_are_not_row_major():
    x = normal(4, 6)
    found = check(emitted(lambda x: [x * 2.0, x], [x]), [x])
    whole = DeviceArray.from_host(MACHINE, np.ascontiguousarray(x.T))
    for got, want in zip(found([whole.view((4, 6), (1, 4))]), (2 * x, x), strict=True):
        compare(got.to_host(), want)


# ---------------------------------------------------------------- memory and launches


def test_temporaries_share_the_arena():
    x = normal(8, 16)

    def many(x):
        for _ in range(10):
            x = (x - x.mean(0)).tanh() @ (x.T @ x / 8).cos() / 16
        return x

    found = check(*recorded(many, [x]))
    buffers = [b for b in found.plan.buffers if b.role in ("temporary", "library")]
    whole = sum(np.prod(b.shape, dtype=int) * b.dtype.itemsize for b in buffers)
    assert len(buffers) > 20 and found.arena_bytes < whole / 3


def test_memory_is_given_back():
    x = normal(50)
    machine = SimulatedMachine()
    program, arrays = recorded(chain, [x, x], (0, 1))
    found = compile_for_device(program, machine)
    given = on_device(arrays, machine)
    before = machine.memory_use().held
    for _ in range(3):
        found(given)
    assert machine.memory_use().held == before


def test_sizes_share_kernels():
    machine = SimulatedMachine()
    counts = []
    for n in (5, 9, 30):
        arrays = [normal(n, 3), normal(n, 3)]
        check(*recorded(chain, arrays, (0, 1)), machine=machine)
        counts.append(len(machine._kernels))
    assert counts[0] == counts[-1]


def test_calls_at_the_same_addresses_are_replayed(monkeypatch):
    machine = SimulatedMachine()
    function, arrays, wrt = PROGRAMS["perceptron"]
    program, arrays = recorded(function, arrays, wrt)
    found = compile_for_device(program, machine)
    captured, capture = [], machine.capture
    monkeypatch.setattr(machine, "capture", lambda run: captured.append(1) or capture(run))
    pool, allocate = {}, machine.allocate
    monkeypatch.setattr(  # as a card's pool does it: the same memory again
        machine, "allocate", lambda n: pool.setdefault(n, None) or pool.setdefault(-n, allocate(n))
    )
    given = on_device(arrays, machine)
    for k in range(4):
        given[0][...] = arrays[0] * k
        wanted = reference.run(program, [arrays[0] * k, *arrays[1:]])
        for got, want in zip(found(given), wanted, strict=True):
            compare(got.to_host(), np.asarray(want))
    assert len(captured) == 1
    with config.set(graphs=0):
        fresh = compile_for_device(program, machine)
        for _ in range(3):
            fresh(given)
    assert len(captured) == 1


def test_a_capture_that_is_refused_is_said(monkeypatch):
    machine = SimulatedMachine()
    function, arrays, wrt = PROGRAMS["perceptron"]
    program, arrays = recorded(function, arrays, wrt)
    found, given = compile_for_device(program, machine), on_device(arrays, machine)

    def refuse(run):
        raise LaunchError("no capture today")

    monkeypatch.setattr(machine, "capture", refuse)
    found._launch.seen = AllSeen()
    with pytest.warns(RuntimeWarning, match="one by one: no capture today"):
        results = found(given)
    for got, want in zip(results, reference.run(program, arrays), strict=True):
        compare(got.to_host(), np.asarray(want))
    found(given)  # said once


class AllSeen(dict):
    def get(self, key, default=None):
        return True


@pytest.mark.gpu
def test_a_card_replays_what_it_saw():
    function, arrays, wrt = PROGRAMS["perceptron"]
    program, arrays = recorded(function, arrays, wrt)
    found, given = compile_for_device(program, machine(0)), on_device(arrays, machine(0))
    for k in range(6):
        given[0][...] = arrays[0] * k
        wanted = reference.run(program, [arrays[0] * k, *arrays[1:]])
        for got, want in zip(found(given), wanted, strict=True):
            compare(got.to_host(), np.asarray(want))
    assert found._launch.graphs


def test_threads_call_one_program():
    function, arrays, wrt = PROGRAMS["chain"]
    program, arrays = recorded(function, arrays, wrt)
    found = compile_for_device(program, MACHINE)
    wrong = []

    def call(seed):
        given = [x * seed for x in arrays]
        wanted = reference.run(program, given)
        for got, want in zip(found(on_device(given)), wanted, strict=True):
            if not np.allclose(got.to_host(), want):
                wrong.append(seed)

    threads = [threading.Thread(target=call, args=(k,)) for k in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---------------------------------------------------------------- errors


def test_an_index_out_of_range_is_an_error_of_the_next_copy():
    x, good, bad = normal(3, 2), np.array([0, 2, -1]), np.array([0, 3])
    found = check(emitted(lambda x, i: [OPS["index"](x, i)], [x, good]), [x, good])
    found = compile_for_device(emitted(lambda x, i: [OPS["index"](x, i)], [x, bad]), MACHINE)
    (result,) = found(on_device([x, bad]))
    with pytest.raises(AxisError, match=r"index: an index is out of range .* \[3, 2\]"):
        result.to_host()
    (result,) = found(on_device([x, good[:2]]))  # it is told once
    compare(result.to_host(), x[[0, 2]])


def test_each_thread_is_told_of_its_own_errors():
    x, bad = normal(3, 2), np.array([0, 3])
    program = emitted(lambda x, i: [OPS["index"](x, i)], [x, bad])
    wrong, right = (compile_for_device(program, MACHINE) for _ in range(2))
    (result,) = wrong(on_device([x, bad]))
    told = []

    def elsewhere():
        MACHINE.stream = MACHINE.new_stream()
        (other,) = right(on_device([x, bad % 3]))
        told.append(other.to_host())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    compare(told[0], x[[0, 0]])
    with pytest.raises(AxisError):
        result.to_host()


def test_a_matrix_that_is_not_definite_is_an_error():
    good = np.array([[2.0, 1.0], [1.0, 2.0]])
    found = check(emitted(lambda x: [OPS["cholesky"](x)], [good]), [good])
    (result,) = found(on_device([-good]))
    with pytest.raises(LinAlgError, match="cholesky: a matrix is not positive-definite"):
        result.to_host()


def test_what_has_no_form_says_so(monkeypatch):
    monkeypatch.delitem(calls.CALLS, "eigvals")
    x = normal(3, 3)
    with pytest.raises(NoGpuForm, match=r"cuda:0: eigvals of float64\[3, 3\] has no form"):
        compile_for_device(emitted(lambda x: [OPS["eigvals"](x)], [x]), MACHINE)


def test_checked_programs_are_compared_with_the_cpu(monkeypatch):
    function, arrays, wrt = PROGRAMS["chain"]
    with config.set(check=3):
        found = check(*recorded(function, arrays, wrt))
    launch = found._launch
    monkeypatch.setattr(
        found, "_launch", lambda *addresses: launch(*addresses[:1] * 2, *addresses[2:])
    )
    with pytest.raises(AssertionError, match="the GPU and the reference differ in row"):
        found(on_device(arrays))


# ---------------------------------------------------------------- machine code


@pytest.mark.compiler
@pytest.mark.parametrize("name", [*INTEGERS, *FLOATS, "f16", "i8", "complex"])
def test_kernels_of_copies_compile(name):
    def lying(dtype, strides=(1, 3)):
        return Operand((3, 4), strides, dtype)

    if name in INTEGERS:
        dtype = dtypes.int32
        sources = [lying(dtype)] * (1 if name == "bitwise_not" else 2)
        launches = [text_launches(name, sources, lying(dtype, (4, 1)), 256)]
    elif name in FLOATS:
        launches = []
        for dtype in (dtypes.float32, dtypes.float64):
            target = dtype if name == "nextafter" else dtypes.int32
            sources = [lying(dtype)] * (2 if name == "nextafter" else 1)
            launches.append(text_launches(name, sources, lying(target, (4, 1)), 256))
    elif name == "complex":
        dtype = dtypes.complex128
        launches = [copy_launches(lying(dtype), lying(dtype, (4, 1)), 256)]
    else:
        short = {"f16": dtypes.float16, "i8": dtypes.int8}[name]
        pairs = [(short, dtypes.float32), (dtypes.float32, short)]
        launches = [cast_launches(lying(a), lying(b, (4, 1)), 256) for a, b in pairs]
    for launch in (launch for step in launches for launch in step.launches):
        ptx = compile_ptx(launch.function, (8, 0))
        cubin = link(ptx, (8, 0))
        assert cubin.spills == cubin.stack == 0
        assert not re.search(r"\b(?:div|rem)\.[su]64", ptx)
