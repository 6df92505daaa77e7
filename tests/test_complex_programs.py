"""Random programs that mix real and complex numbers: eager, compiled and torch give the same.

A program is a list of steps; each makes a value of two earlier ones.  Values are kept near 1, and
away from branch cuts and zeros of denominators, so that all three agree to rounding.  The result is
a real number, whose gradients by a complex and a real argument are compared.
"""

from __future__ import annotations

import numpy as np
import pytest

import tapejit as tj

SHAPE = (3, 3)


def conjugate(t, x, y):
    return x.conj() if x.is_complex() else x * 1.5


def root(t, x, y):
    return (x + (2.5 + 1j)).sqrt() if x.is_complex() else (x.abs() + 0.1).sqrt()


def spectrum(t, x, y):
    if x.is_complex():
        return t.fft.ifft(t.fft.fft(x, dim=0) * 2j, dim=0)
    return t.fft.irfft(t.fft.rfft(x, n=5, norm="ortho"), n=3)


STEPS = (
    conjugate,
    root,
    spectrum,
    lambda t, x, y: x + y,
    lambda t, x, y: x - y * (0.5 + 1j),
    lambda t, x, y: x * y,
    lambda t, x, y: x / (y * y.conj() + 1.0),
    lambda t, x, y: t.exp(x * 0.3),
    lambda t, x, y: t.sin(x) * t.cos(y),
    lambda t, x, y: t.tanh(x * 0.2),
    lambda t, x, y: t.sigmoid(x * 0.2),
    lambda t, x, y: x.abs(),
    lambda t, x, y: (x + 3.0).angle(),
    lambda t, x, y: x.sgn() * y,
    lambda t, x, y: x.real,
    lambda t, x, y: t.complex(x.real, y.real),
    lambda t, x, y: t.where(x.abs() > 0.7, x + 0j, y + 0j),
    lambda t, x, y: x - x.mean(1, keepdim=True),
    lambda t, x, y: x.cumsum(0),
    lambda t, x, y: (x * 0.5).prod(1, keepdim=True) + y,
    lambda t, x, y: x.var(0, keepdim=True) * y,
    lambda t, x, y: (x + 0j) @ (y.mT + 0j),
    lambda t, x, y: t.stack([x + 0j, y + 0j]).sum(0),
    lambda t, x, y: x.flip(0)[:, [2, 0, 1]],
)


def program_of(seed):
    """A function of the module, a complex and a real matrix."""
    random = np.random.default_rng(seed)
    steps = [
        (STEPS[random.integers(len(STEPS))], *random.integers(0, 100, 2))
        for _ in range(random.integers(3, 14))
    ]

    def program(t, z, x):
        values = [z, x]
        for step, one, other in steps:
            y = step(t, values[one % len(values)], values[other % len(values)])
            values.append(y / (1.0 + y.abs().mean().detach()))
        total = 0.0
        for value in values[-3:]:
            total = total + (value * value.conj()).real.sum() + value.real.sum()
        return total

    return program


def results(t, program, arrays, differentiate):
    value, gradients = differentiate(t, program, *(t.tensor(a) for a in arrays))
    return [
        np.zeros(()) if found is None else found.detach().resolve_conj().numpy(force=True)
        for found in (value, *gradients)
    ]


def eagerly(t, program, z, x):
    leaves = z.requires_grad_(), x.requires_grad_()
    value = program(t, *leaves)
    return value, t.autograd.grad(value, leaves, allow_unused=True)


def compiled(t, program, z, x):
    both = t.value_and_grad(lambda z, x: program(t, z, x), argnums=(0, 1))
    both(z, x)  # records
    return both(z, x)


@pytest.mark.parametrize("seed", range(24))
def test_eager_compiled_and_torch_agree(seed):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(seed + 1000)
    arrays = random.normal(size=SHAPE) + 1j * random.normal(size=SHAPE), random.normal(size=SHAPE)
    program = program_of(seed)
    wanted = results(torch, program, arrays, eagerly)
    for differentiate in (eagerly, compiled):
        for got, want in zip(results(tj, program, arrays, differentiate), wanted, strict=True):
            scale = 1e-9 * (1.0 + np.abs(want).max())
            np.testing.assert_allclose(got, want, rtol=1e-7, atol=scale, err_msg=f"seed {seed}")
