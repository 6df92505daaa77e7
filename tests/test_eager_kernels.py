"""Large eager arrays: slow NumPy functions run through our own kernels, with the same answers."""

from __future__ import annotations

import numpy as np
import pytest

import tapejit as tj
from tapejit.registry import OPS
from tapejit.runtime import eager
from tapejit.runtime.eager import KERNEL_FROM, SLOW_IN_NUMPY, evaluator

SLOW = [op for op in OPS.values() if op.name in SLOW_IN_NUMPY]


@pytest.mark.parametrize("op", SLOW, ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_kernels_agree_with_numpy_on_every_layout(op, dtype):
    low, high = op.probe.domain
    x = np.random.default_rng(0).uniform(low, high, (2, KERNEL_FROM)).astype(dtype)
    # the peer itself is up to 8 ulp off (erfc), and beside 1 next to a zero (lgamma)
    evaluate, info = evaluator(op), np.finfo(dtype)
    for value in (x, x.T, x[:, ::-1], x[0, : KERNEL_FROM - 1]):
        result = evaluate(value)
        assert result.dtype == value.dtype and result.shape == value.shape
        np.testing.assert_allclose(
            result, op.evaluate(value), rtol=16 * info.eps, atol=4 * info.eps
        )


def test_results_are_kept_apart():
    x = tj.tensor(np.linspace(0, 1, 50_000))
    results = [tj.sin(x + i) for i in range(6)]
    for i, result in enumerate(results):
        np.testing.assert_allclose(result.numpy(), np.sin(x.numpy() + i), rtol=1e-14)
    results[0].add_(1.0)
    assert results[0]._version == 1 and results[1]._version == 0


def test_an_eager_operation_takes_its_loop_once_that_pays(monkeypatch):
    """NumPy computes until a compile would have paid; then the loop, with the same answer."""
    op, calls = OPS["cumsum"], []
    plain = op.evaluate
    monkeypatch.setattr(op, "evaluate", lambda x, **attrs: calls.append(1) or plain(x, **attrs))
    monkeypatch.setattr(eager.loops, "is_at_hand", lambda step: False)
    evaluate = evaluator(op)
    x = np.random.default_rng(1).standard_normal((3, KERNEL_FROM))
    want = np.cumsum(x, 1)
    np.testing.assert_allclose(evaluate(x, axis=1), want, rtol=1e-13, atol=1e-12)
    assert len(calls) == 1
    monkeypatch.setattr(eager.loops, "is_at_hand", lambda step: True)
    np.testing.assert_allclose(evaluate(x, axis=1), want, rtol=1e-13, atol=1e-12)
    assert np.array_equal(evaluate(x[:, ::-1], axis=1), evaluate(x[:, ::-1].copy(), axis=1))
    assert len(calls) == 1
    evaluate(x[:, :5], axis=1)  # small
    assert len(calls) == 2
