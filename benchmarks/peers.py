"""The peers: what each needs in its environment, and the usual way to call it.

A workload writes its function once or once per library; the functions here wrap it into a
`Runner` the way a user of that library would.  Libraries are imported inside functions on
purpose: a worker process loads the one library that it measures, and times that import.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.records import Runner

# ---------------------------------------------------------------- data


class Peer(NamedTuple):
    """A column of the table."""

    module: str
    """What must be importable; a peer whose module is missing is skipped aloud."""
    environment: dict[str, str] = {}  # noqa: RUF012 (never changed)
    note: str = ""
    threads: int = 1
    """With more than one, it may run on every CPU."""


# One core for everybody.  XLA's own pool takes its size from the CPU affinity of the process.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "JAX_ENABLE_X64": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
# Fusion duplicates what is read more than once, which is exponential in long programs; without
# it JAX is linear.  Both columns are shown (jax 0.10).
_TWO = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "2")
# Workers share the card; a simulated one (benchmarks.workloads.gpu) has JAX beside it on the CPU.
_GPU = {"TAPEJIT_CUDA": os.environ.get("TAPEJIT_CUDA", "card")}
_JAX_GPU = {
    "JAX_PLATFORMS": "cpu" if _GPU["TAPEJIT_CUDA"] == "simulator" else "cuda",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "XLA_FLAGS": "",
}
_NO_FUSION = {"XLA_FLAGS": ENVIRONMENT["XLA_FLAGS"] + " --xla_disable_hlo_passes=fusion"}

PEERS = {
    "tapejit": Peer("tapejit", note="value_and_grad, NumPy in and out"),
    "tapejit eager": Peer("tapejit", note="tensors and backward()"),
    "tapejit, 2 threads": Peer("tapejit", _TWO, "as tapejit, on two cores", 2),
    "tapejit, sensitivities": Peer("tapejit", note="as tapejit, without the adjoint"),
    "tapejit, launches": Peer("tapejit", note="the kernels alone, on memory that is ready"),
    "jax": Peer("jax", note="jit(value_and_grad), waited for; arrays stay on the device"),
    "jax, 2 threads": Peer("jax", {"XLA_FLAGS": ""}, "as jax, on two cores", 2),
    "jax, no fusion": Peer("jax", _NO_FUSION, "the same with --xla_disable_hlo_passes=fusion"),
    "jax, device in": Peer("jax", note="device array in, NumPy out"),
    "jax, cached": Peer(
        "jax",
        {
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        },
        "the same as jax, with its persistent cache",
    ),
    "numpy": Peer("numpy", note="function by function; SciPy where NumPy has none"),
    "torch": Peer("torch", note="eager tensors and backward()"),
    "torch, 2 threads": Peer("torch", _TWO, "as torch, on two cores", 2),
    "tapejit, gpu": Peer("tapejit", _GPU, "value_and_grad of tensors on a GPU, waited for", 4),
    "jax, gpu": Peer("jax", _JAX_GPU, "as jax, on a GPU", 4),
    "torch, gpu": Peer("torch", _GPU, "as torch, on a GPU, waited for", 4),
    "torch.compile, gpu": Peer("torch", _GPU, "the same, of torch.compile(f)", 4),
    "scipy": Peer("scipy.optimize", note="SciPy alone: finite differences"),
    "autograd": Peer("autograd", note="autograd.value_and_grad; NumPy in and out"),
    "casadi": Peer("casadi", note="SX virtual machine; NumPy in and out"),
    "numba": Peer("numba", note="value and gradient written out by hand, njit, no fastmath"),
    "numba, cached": Peer("numba", note="the same with cache=True"),
}


def import_library(peer: str) -> None:
    """Import a peer's library and hold it to its number of threads."""
    library = importlib.import_module(PEERS[peer].module)
    if library.__name__ == "torch":
        library.set_num_threads(PEERS[peer].threads)


# ---------------------------------------------------------------- the usual ways to call


def tapejit(f: Callable, argnums: tuple[int, ...]) -> Runner:
    """`tapejit.value_and_grad`: records on the first call, so the second is the compiled one."""
    import tapejit as tj

    return Runner(lambda: tj.value_and_grad(f, argnums=argnums), calls_until_compiled=2)


def tapejit_gpu(f: Callable, argnums: tuple[int, ...]) -> Runner:
    """The same on tensors that lie on the current GPU."""
    import tapejit as tj

    def make():
        value_and_grad = tj.value_and_grad(f, argnums=argnums)

        def call(*tensors):
            results = value_and_grad(*tensors)
            tj.cuda.synchronize()
            return results

        return call

    return Runner(
        make, lambda inputs: tuple([tj.tensor(x, device="cuda") for x in inputs]), 2
    )  # fmt: skip


def torch_gpu(f: Callable, argnums: tuple[int, ...], device: str) -> Runner:
    """Tensors on a device and backward, waited for."""
    import torch

    call, load, _ = _eager(torch, f, argnums)
    eager = call()

    def waited(*tensors):
        results = eager(*tensors)
        if device != "cpu":
            torch.cuda.synchronize()
        return results

    def there(inputs):
        return tuple([x.detach().to(device).requires_grad_(x.requires_grad) for x in load(inputs)])

    return Runner(lambda: waited, there)


def tapejit_eager(f: Callable, argnums: tuple[int, ...]) -> Runner:
    """Tensors and backward, with tapejit in PyTorch's place."""
    import tapejit

    return _eager(tapejit, f, argnums)


def torch(f: Callable, argnums: tuple[int, ...]) -> Runner:
    """Tensors and backward."""
    import torch

    return _eager(torch, f, argnums)


def _eager(torch, f: Callable, argnums: tuple[int, ...]) -> Runner:
    import numpy as np

    def load(inputs):
        return tuple(
            torch.tensor(np.asarray(value), requires_grad=number in argnums)
            for number, value in enumerate(inputs)
        )

    def call(*tensors):
        leaves = [tensors[number] for number in argnums]
        for leaf in leaves:
            leaf.grad = None
        loss = f(*tensors)
        loss.backward()
        return loss, [leaf.grad for leaf in leaves]

    return Runner(lambda: call, load)


def jax(f: Callable, argnums: tuple[int, ...]) -> Runner:
    """`jit(value_and_grad(f))` on arrays that are already on the device, waited for."""
    import jax

    def make():
        compiled = jax.jit(jax.value_and_grad(f, argnums=argnums))
        return lambda *arrays: jax.block_until_ready(compiled(*arrays))

    return Runner(make, lambda inputs: tuple(jax.device_put(value) for value in inputs))


def numba(kernel: Callable, wrap: Callable[[Callable], Callable]) -> Runner:
    """`njit` of a kernel; `wrap` makes the call around it (allocating outputs, say)."""
    import numba

    return Runner(lambda: wrap(numba.njit(kernel)))
