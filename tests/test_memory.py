"""Memory: what no live tensor can reach is released, and what no slope reads is not kept.

Bytes are counted with tracemalloc (NumPy reports its arrays there), recordings with the set of
live ones; nothing is timed.  Reachable graphs may grow: torch's do too.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc

import numpy as np
import pytest

import tapejit as tj
from tapejit.tensor import recording
from tapejit.tensor.recording import ROW_LIMIT, live, state

MEBIBYTE = 1 << 20
OTHERS: set[int] = set()
"""Recordings that were there before a test: tensors of other files hold them."""


@pytest.fixture(autouse=True)
def fresh_recording():
    """Every test begins on an empty recording."""
    recording.open_new()
    gc.collect()
    OTHERS.clear()
    OTHERS.update(id(r) for r in list(live) if r is not recording.state.parked)
    yield
    recording.open_new()
    gc.collect()


def peak_of(function):
    """(result, bytes at the end, most bytes at one time) beyond what was held before."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        result = function()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return result, after - before, peak - before


def live_rows():
    """Rows of all recordings of this test that are alive."""
    gc.collect()
    return sum(len(r) for r in list(live) if id(r) not in OTHERS)


def live_values():
    """Values that all recordings hold, inputs included."""
    gc.collect()
    return sum(value is not None for r in list(live) for value in r.values)


# ---- loops -------------------------------------------------------------------------------------


def test_loop_without_backward():
    """20,000 losses that nobody differentiates."""
    w = tj.ones(3, requires_grad=True)

    def loop():
        total = 0.0
        for _ in range(20_000):
            total += ((w * 2 + 1).sin()).sum().item()
        return total

    loop()  # operations are known now
    _, held, peak = peak_of(loop)
    assert live_rows() <= 2 * ROW_LIMIT
    assert peak < 40 * MEBIBYTE
    assert held < 40 * MEBIBYTE


def test_loop_without_backward_on_large_data():
    """New data in every turn: neither the data nor what was made of it stays."""
    w = tj.ones(1 << 18, requires_grad=True)

    def loop():
        for i in range(400):
            x = tj.from_numpy(np.full(1 << 18, float(i), np.float32))
            (w * x).exp().sum().item()

    _, held, peak = peak_of(loop)
    assert peak < 160 * MEBIBYTE  # 400 turns make 1.2 GB
    assert held < 160 * MEBIBYTE


def test_running_sum_of_items_while_training():
    w = tj.tensor([1.0, 2.0], requires_grad=True)

    def train(turns):
        total = 0.0
        for _ in range(turns):
            loss = ((w * 3 - 1) ** 2).sum()
            loss.backward()
            total += loss.item()
            with tj.no_grad():
                w.sub_(1e-4 * w.grad)
            w.grad = None
        return total

    train(50)  # compiled from the 31st on
    _, held, peak = peak_of(lambda: train(20_000))
    assert peak < MEBIBYTE, "a training loop keeps something of every turn"
    assert held < MEBIBYTE / 2
    assert live_rows() < 100


def test_detached_losses_in_a_list():
    w = tj.tensor([1.0, 2.0], requires_grad=True)
    kept = []
    for _ in range(500):
        loss = (w * w).sum()
        loss.backward()
        kept.append(loss.detach())
    assert live_rows() < 100
    assert all(x.grad_fn is None for x in kept)


def test_losses_in_a_list_free_what_they_saved():
    """Losses kept after their backward keep rows, not values."""
    w = tj.ones(1 << 16, requires_grad=True)

    def loop():
        kept = []
        for i in range(300):
            x = tj.from_numpy(np.full(1 << 16, float(i), np.float32))
            loss = (w * x).sin().sum()
            loss.backward()
            kept.append(loss)
        return kept

    kept, held, _ = peak_of(loop)
    assert len(kept) == 300
    assert held < 8 * MEBIBYTE  # 300 turns made 225 MB


def test_tensors_in_a_list_can_go_backward_later():
    w = tj.tensor([1.0, 2.0], requires_grad=True)
    kept = [(w * float(i)).sum() for i in range(200)]
    sum(kept[1:], kept[0]).backward()
    np.testing.assert_allclose(w.grad.numpy(), [199 * 100.0] * 2)


def test_running_sum_of_losses_keeps_its_graph():
    """Not detached: the graph is reachable and may grow, as in torch; it is right at the end."""
    w = tj.tensor(1.0, requires_grad=True)
    total = 0.0
    for _ in range(2_000):
        total = total + w * 2
    total.backward()
    assert w.grad.item() == 4_000.0
    del total
    assert live_rows() < 100


def test_past_the_row_limit(monkeypatch):
    """A graph over several recordings, sealed in between."""
    monkeypatch.setattr(sys.modules["tapejit.tensor.core"], "ROW_LIMIT", 64)
    monkeypatch.setattr(recording, "ROW_LIMIT", 64)
    w = tj.tensor(1.0, dtype=tj.float64, requires_grad=True)
    y = w
    for _ in range(400):
        y = (y * w).sin() + w
    y.backward()
    expected, slope = 1.0, 1.0
    for _ in range(400):
        slope, expected = np.cos(expected) * (slope + expected) + 1, np.sin(expected) + 1
    np.testing.assert_allclose(w.grad.item(), slope, rtol=1e-9)


# ---- chains of large arrays --------------------------------------------------------------------


N_LARGE = 1 << 20  # float32: 4 MiB


@pytest.mark.parametrize("step", ["y + 1", "y * 2", "-y", "y - w", "y.reshape(1024, 1024)"])
def test_a_chain_whose_slopes_read_nothing(step):
    """No slope reads an intermediate value, so few are held however long the chain is."""
    w = tj.ones(N_LARGE, requires_grad=True)

    def chain():
        y = w
        for _ in range(100):
            y = eval(step, {"y": y, "w": w}).reshape(N_LARGE)
        return y

    y, _, peak = peak_of(chain)
    assert peak < 160 * MEBIBYTE  # all of them are 400 MiB
    y.sum().backward()
    expected = {"y * 2": 0.0, "y - w": -99.0}.get(step, 1.0)
    if step == "y * 2":
        expected = np.float32(2.0**100)
    np.testing.assert_array_equal(w.grad.numpy()[:3], np.full(3, expected, np.float32))


def test_a_chain_whose_slopes_read_the_results():
    """tanh's slope reads its result: every value stays, and the gradient is right."""
    w = tj.full((N_LARGE,), 0.5, requires_grad=True)
    y = w
    for _ in range(40):
        y = y.tanh() + 0.25
    y.sum().backward()
    value, slope = 0.5, 1.0
    for _ in range(40):
        result = np.tanh(value)
        value, slope = result + 0.25, slope * (1 - result * result)
    np.testing.assert_allclose(w.grad.numpy()[:2], slope, rtol=1e-4)


def test_values_dropped_and_compiled(monkeypatch):
    """The same chain met often, so compiled: dropped values are recomputed from the inputs."""
    monkeypatch.setattr(recording, "BYTES_BEFORE_SWEEP", 1 << 16)
    monkeypatch.setattr(sys.modules["tapejit.tensor.sweeps"], "MOST_SIGHTINGS", 3)
    x = tj.tensor(np.linspace(0.1, 1.0, 1 << 14), requires_grad=True)
    gradients = []
    for _ in range(8):
        recording.open_new()
        y = x
        for _ in range(6):
            y = ((y + 1) * 0.5).sin() * x
        y.sum().backward()
        gradients.append(x.grad.numpy().copy())
        x.grad = None
    for gradient in gradients[1:]:
        np.testing.assert_allclose(gradient, gradients[0], rtol=1e-12)


def test_drop_keeps_what_a_later_backward_reads():
    """Dropping by hand at every step changes no gradient."""
    x = tj.tensor([0.3, 0.7], dtype=tj.float64, requires_grad=True)
    w = tj.tensor([1.5, -0.5], dtype=tj.float64, requires_grad=True)

    def gradients(drop):
        y = x * 1
        losses = []
        for i in range(12):
            y = (y * w).tanh() + (x + i).exp() / (1 + y * y)
            losses.append(y.sum() * w[0])
            if drop:
                state.parked.drop_unreachable()
        sum(losses[1:], losses[0]).backward()
        result = x.grad.numpy().copy(), w.grad.numpy().copy()
        x.grad = w.grad = None
        return result

    for dropped, kept in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_allclose(dropped, kept, rtol=1e-13)


def test_a_sweep_at_every_large_row(monkeypatch):
    """Inputs just placed, which no row reads yet, survive the sweep their operation starts."""
    monkeypatch.setattr(recording, "BYTES_BEFORE_SWEEP", 1)
    recording.open_new()
    n = 1 << 15
    leaves = [tj.full((n,), i + 1.0, requires_grad=True) for i in range(8)]
    monkeypatch.setattr(state.parked, "limit_bytes", 0)
    y = leaves[0]
    for x in leaves[1:]:
        y = y * x
        state.parked.limit_bytes = 0
    y.sum().backward()
    for i, x in enumerate(leaves):
        np.testing.assert_allclose(x.grad.numpy()[0], 40320.0 / (i + 1), rtol=1e-6)


def test_drop_forgets_inputs_that_nothing_alive_read():
    w = tj.ones(4, requires_grad=True)
    data = tj.ones(4)
    (w * data).sum()
    assert live_values() > 0
    state.parked.drop_unreachable()
    assert not state.parked.inputs
    # both begin a new row when they are used again
    (w * data).sum().backward()
    assert w.grad.tolist() == [1.0] * 4


def test_everything_goes_with_the_last_tensor():
    w = tj.ones(4, requires_grad=True)
    loss = (w * w).sum()
    state.parked.drop_unreachable()
    loss.backward()
    del loss
    assert live_values() == 0


def test_a_dropped_value_that_only_recomputing_reads(monkeypatch):
    """exp's slope reads its result, the compiled sweep the sum below it: row by row then."""
    monkeypatch.setattr(recording, "BYTES_BEFORE_SWEEP", 1)
    monkeypatch.setattr(sys.modules["tapejit.tensor.sweeps"], "MOST_SIGHTINGS", 3)
    x = tj.tensor(np.linspace(0.0, 1.0, 1 << 17).reshape(2, -1), requires_grad=True)
    for drop in (False,) * 6 + (True,) * 2:
        recording.open_new()
        y = (x * 1e-3).sum(0).exp()
        loss = (y * y).sum()
        if drop:
            state.parked.drop_unreachable()
        loss.backward()
        value = np.exp(x.detach().numpy().sum(0) * 1e-3)
        np.testing.assert_allclose(x.grad.numpy()[0], 2e-3 * value * value, rtol=1e-12)
        x.grad = None


def test_data_changes_after_which_saved_values_count(monkeypatch):
    """`.data` leaves no note; the slopes are then of the values that were saved, as in torch."""
    monkeypatch.setattr(sys.modules["tapejit.tensor.sweeps"], "MOST_SIGHTINGS", 3)
    x = tj.tensor([0.5, 1.0], dtype=tj.float64, requires_grad=True)
    for _ in range(8):
        y = x.exp()
        saved = y.detach().clone()
        before = x.detach().clone()
        x.data.mul_(3)
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), saved.numpy())
        x.grad = None
        x.data.copy_(before)
