"""One training step of a small network: 784-512-512-10, relu, cross entropy, SGD; float32.

Everybody returns the loss and the gradients, and has updated parameters: PyTorch in place, as its
users write it, the others by giving new ones.  The learning rate is so small that a million steps
leave float32 parameters where they are: every call computes the same.
"""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.records import Case, Runner, Target

SUMMARY = "training step of 784-512-512-10, relu, cross entropy, SGD; float32"
SIZES = (784, 512, 512, 10)
RATE = 1e-14
SMALL, LARGE = "batch 32", "batch 256"

TARGETS = (
    Target("warm", 1.3, ("torch",), cases=(SMALL,)),
    Target("warm", 0.95, ("torch",), cases=(LARGE,)),
)


def cases(quick: bool) -> list[Case]:
    """Both batches are small: quick runs take the same."""
    del quick
    return [
        Case(name, ({"batch": batch, "seed": 15},), tolerance=2e-3)
        for name, batch in ((SMALL, 32), (LARGE, 256))
    ]


def inputs(settings: dict, draw: int) -> tuple:
    """Weights and biases in turn, then images and their classes."""
    rng = np.random.default_rng([settings["seed"], draw])
    parameters = []
    for n, m in itertools.pairwise(SIZES):
        bound = 1.0 / np.sqrt(n)
        parameters.append(rng.uniform(-bound, bound, (m, n)).astype(np.float32))
        parameters.append(rng.uniform(-bound, bound, m).astype(np.float32))
    x = rng.standard_normal((settings["batch"], SIZES[0])).astype(np.float32)
    return (*parameters, x, rng.integers(0, SIZES[-1], settings["batch"]))


def _tapejit(settings: dict) -> Runner:
    import tapejit as tj
    from tapejit.nn import functional as F

    def loss(parameters, x, target):
        for k in range(0, len(parameters), 2):
            x = F.linear(x, parameters[k], parameters[k + 1])
            if k + 2 < len(parameters):
                x = F.relu(x)
        return F.cross_entropy(x, target)

    value_and_grad = tj.value_and_grad(loss)

    def make():
        @tj.jit
        def step(parameters, x, target):
            value, gradients = value_and_grad(parameters, x, target)
            return value, gradients, [p - RATE * g for p, g in zip(parameters, gradients)]  # noqa: B905

        def call(*arrays):
            *parameters, x, target = arrays
            value, gradients, _ = step(parameters, x, target)
            return value, gradients

        return call

    return Runner(make, calls_until_compiled=2)


def _torch(settings: dict) -> Runner:
    import torch

    def load(inputs):
        *parameters, x, target = inputs
        layers = []
        for n, m in itertools.pairwise(SIZES):
            layers += [torch.nn.Linear(n, m), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for p, value in zip(model.parameters(), parameters, strict=True):
                p.copy_(torch.tensor(value))
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        return model, optimizer, torch.tensor(x), torch.tensor(target)

    def call(model, optimizer, x, target):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        return loss, [p.grad for p in model.parameters()]

    return Runner(lambda: call, load)


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp

    def loss(parameters, x, target):
        for k in range(0, len(parameters), 2):
            x = x @ parameters[k].T + parameters[k + 1]
            if k + 2 < len(parameters):
                x = jax.nn.relu(x)
        picked = jnp.take_along_axis(jax.nn.log_softmax(x), target[:, None], 1)
        return -picked.mean()

    def make():
        @jax.jit
        def step(parameters, x, target):
            value, gradients = jax.value_and_grad(loss)(parameters, x, target)
            updated = [p - RATE * g for p, g in zip(parameters, gradients, strict=True)]
            return value, gradients, updated

        def call(*arrays):
            *parameters, x, target = arrays
            value, gradients, _ = jax.block_until_ready(step(parameters, x, target))
            return value, gradients

        return call

    return Runner(make, lambda inputs: tuple(jax.device_put(value) for value in inputs))


PEERS = {"tapejit": _tapejit, "jax": _jax, "torch": _torch}
