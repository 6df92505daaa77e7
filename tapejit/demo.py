"""The demonstration: python -m tapejit demo [--quick].

    1. the notebook's examples, as PyTorch code over `import tapejit as torch`
    2. a fit on real data: Forbes' boiling points of 1857 (data/forbes.csv), with plain NumPy code,
       value_and_grad and hessian; the slope of the line is the heat of vaporisation of water
    3. what the fit was compiled to: tape, simplified tape, schedule, kernels
    4. timings of value and gradient: a hand-written NumPy gradient, eager tensors, compiled
    5. a chart, if matplotlib is installed

`loss` and `fit` are written as a user would write them; nothing here reaches into tapejit but
section 3, which calls what `python -m tapejit show` calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import resources
from io import StringIO
from pathlib import Path

import numpy as np

import tapejit as tj
from tapejit import show

# ---------------------------------------------------------------- 1. the notebook's examples

CELLS = (
    "x = torch.tensor(3.0, requires_grad=True)\ny = x**2\ny",
    "y.backward()\nx.grad",
    "x = torch.tensor(4.0, requires_grad=True)\n"
    "y = 2 * x * (torch.cos(x) ** 2)\nz = torch.sin(y)\nz",
    "z.backward()\nx.grad",
    "x, y = torch.tensor(6.7), torch.tensor(0.0)\n"
    "w = torch.tensor(1.0, requires_grad=True)\nb = torch.tensor(0.0, requires_grad=True)\n"
    "p = torch.clamp(torch.sigmoid(w * x + b), 1e-8, 1 - 1e-8)\n"
    "loss = -(y * torch.log(p) + (1 - y) * torch.log(1 - p))\nloss",
    "loss.backward()\nw.grad, b.grad",
    "x = torch.tensor([[1.0, 2.0, 3.0], [2.5, 9.8, 5.7]], requires_grad=True)\n"
    "(x**2).mean().backward()\nx.grad",
    "x.grad.zero_()",
    "z = x.detach()\n(z**2).requires_grad",
    "with torch.no_grad():\n    y = x + 10\ny.requires_grad",
)


def notebook() -> None:
    """Run the cells as a notebook does, and print them with what they give."""
    heading("The notebook: PyTorch's tensors, import tapejit as torch")
    scope: dict = {"torch": tj}
    for number, cell in enumerate(CELLS, 1):
        *body, last = cell.split("\n")
        exec("\n".join(body), scope)
        printed = StringIO()
        with redirect_stdout(printed):
            value = eval(last, scope) if not last.startswith(" ") else exec(last, scope)
        lines = cell.split("\n")
        print(f"In [{number}]: " + "\n        ".join(lines))
        if value is not None:
            print(f"{value!r}\n")


# ---------------------------------------------------------------- 2. a fit on real data

GAS_CONSTANT = 8.314462618  # J / (mol K)


def forbes() -> tuple[np.ndarray, np.ndarray]:
    """1000 / T, in 1/kK, and the logarithm of the pressure, in inches of mercury."""
    text = resources.files("tapejit").joinpath("data/forbes.csv").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rows = np.array([line.split(",") for line in lines[1:]], float)
    kelvin = (rows[:, 0] - 32.0) / 1.8 + 273.15
    return 1000.0 / kelvin, np.log(rows[:, 1])


def loss(theta, x, y):
    """Negative log likelihood of a line with Student-t errors (4 degrees of freedom).

    theta  level at the mean of x, slope, logarithm of the errors' scale
    """
    residual = (y - theta[0] - theta[1] * (x - np.mean(x))) / np.exp(theta[2])
    return np.sum(2.5 * np.log1p(residual * residual / 4.0) + theta[2])


def fit(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Newton's method, damped until the loss falls; parameters, their covariance, the losses."""
    value_and_grad, hessian = tj.value_and_grad(loss), tj.hessian(loss)
    theta = np.array([np.mean(y), 0.0, np.log(np.std(y))])
    value, gradient = value_and_grad(theta, x, y)
    losses, damping = [float(value)], 1.0
    for _ in range(100):
        curvature = hessian(theta, x, y)
        lowest = np.linalg.eigvalsh(curvature)[0]
        step = np.linalg.solve(curvature + (damping + max(-lowest, 0.0)) * np.eye(3), gradient)
        new_value, new_gradient = value_and_grad(theta - step, x, y)
        if new_value <= value:
            theta, value, gradient = theta - step, new_value, new_gradient
            losses.append(float(value))
            damping *= 0.1
        else:
            damping *= 10.0
        if np.max(np.abs(gradient)) < 1e-9:
            break
    return theta, np.linalg.inv(hessian(theta, x, y)), losses


def report_fit(theta: np.ndarray, covariance: np.ndarray, losses: list[float]) -> None:
    """Print the parameters and what the slope means."""
    error = np.sqrt(np.diag(covariance))
    names = ("level", "slope", "log scale")
    print(f"{len(losses) - 1} Newton steps, loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    for name, value, sigma in zip(names, theta, error, strict=True):
        print(f"    {name:<10} {value:10.5f} ± {sigma:.5f}")
    heat, sigma = -theta[1] * GAS_CONSTANT, error[1] * GAS_CONSTANT
    print(f"    heat of vaporisation of water  {heat:.2f} ± {sigma:.2f} kJ/mol")
    print("    (Clausius-Clapeyron; steam tables give 41.1 at 90 °C and 40.7 at 100 °C)")


# ---------------------------------------------------------------- 3. what it is compiled to


def anatomy(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Print the tape, schedule and kernels of the loss and its gradient."""
    heading("What value_and_grad(loss) is compiled to")
    program, floats = show.record(loss, (theta, x, y))
    program = show.with_gradient(program, floats[:1])
    for title, text in show.program_stages(program):
        print(f"---- {title}\n{text}")


# ---------------------------------------------------------------- 4. timings


def by_hand(theta, x, y):
    """The loss and its gradient as one would write them in NumPy."""
    centred, scale = x - np.mean(x), np.exp(theta[2])
    residual = (y - theta[0] - theta[1] * centred) / scale
    square = residual * residual
    value = np.sum(2.5 * np.log1p(square / 4.0) + theta[2])
    slope = 5.0 * residual / (4.0 + square)
    by_line = [-np.sum(slope) / scale, -np.sum(slope * centred) / scale]
    return value, np.array([*by_line, len(x) - np.sum(slope * residual)])


def eagerly(theta, x, y):
    """The same with eager tensors and backward()."""
    leaf = tj.from_numpy(theta).requires_grad_()
    value = loss(leaf, tj.from_numpy(x), tj.from_numpy(y))
    value.backward()
    assert leaf.grad is not None
    return value.detach().numpy(), leaf.grad.numpy()


def timings(theta: np.ndarray, x: np.ndarray, y: np.ndarray, sizes: list[int]) -> list[dict]:
    """Milliseconds of value and gradient by size: by hand, eager, compiled; printed as a table."""
    heading("Timings of value and gradient, in milliseconds")
    print(f"{'rows':>10} {'NumPy by hand':>14} {'eager':>10} {'compiled':>10} {'first call':>11}")
    table, rng = [], np.random.default_rng(0)
    for n in sizes:
        place = rng.integers(0, len(x), n) if n > len(x) else np.arange(n)
        xs, ys = x[place], y[place] + (rng.normal(0.0, 0.002, n) if n > len(x) else 0.0)
        compiled = tj.value_and_grad(loss)
        begin = time.perf_counter()
        compiled(theta, xs, ys)
        row = {"rows": n, "first": (time.perf_counter() - begin) * 1e3}
        wanted = by_hand(theta, xs, ys)
        for name, run in (("hand", by_hand), ("eager", eagerly), ("compiled", compiled)):
            value, gradient = run(theta, xs, ys)
            assert np.allclose(value, wanted[0]) and np.allclose(gradient, wanted[1], atol=1e-6 * n)
            row[name] = best_ms(lambda run=run, xs=xs, ys=ys: run(theta, xs, ys))
        table.append(row)
        cells = (row["hand"], row["eager"], row["compiled"])
        print(
            f"{n:>10} {cells[0]:>14.4f} {cells[1]:>10.4f} {cells[2]:>10.4f} {row['first']:>11.2f}"
        )
    return table


def best_ms(call: Callable) -> float:
    """The least time of several repetitions, about a quarter of a second in all."""
    call()
    begin, best = time.perf_counter(), float("inf")
    while time.perf_counter() - begin < 0.25:
        start = time.perf_counter()
        for _ in range(5):
            call()
        best = min(best, (time.perf_counter() - start) / 5)
    return best * 1e3


# ---------------------------------------------------------------- 5. a chart


def draw(theta: np.ndarray, x: np.ndarray, y: np.ndarray, table: list[dict], path: Path) -> bool:
    """The data with the fitted line, and the timings; False if matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        print("\nno chart: matplotlib is not installed\n  try  pip install 'tapejit[plots]'")
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    line = np.linspace(x.min(), x.max(), 2)
    left.plot(x, np.exp(y), "o", color="#2171b5", label="Forbes 1857")
    fitted = np.exp(theta[0] + theta[1] * (line - x.mean()))
    left.plot(line, fitted, color="#d94801", label="Student-t fit")
    left.set_yscale("log")
    left.set_yticks([20, 22, 24, 26, 28, 30], ["20", "22", "24", "26", "28", "30"], minor=False)
    left.minorticks_off()
    left.set(xlabel="1000 / T  (1/K)", ylabel="pressure  (inches of mercury)")
    left.legend()
    for name, label in (("hand", "NumPy by hand"), ("eager", "eager"), ("compiled", "compiled")):
        right.loglog(
            [row["rows"] for row in table], [row[name] for row in table], "o-", label=label
        )
    right.set(xlabel="rows", ylabel="value and gradient  (ms)")
    right.legend()
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    print(f"\nwrote {path}")
    return True


def heading(text: str) -> None:
    """A line between sections."""
    print(f"\n==== {text}\n")


def main(quick: bool = False, chart: Path = Path("demo_fit.png")) -> None:
    """Run all sections."""
    notebook()
    heading("A fit on real data: Forbes 1857, boiling point of water against pressure")
    x, y = forbes()
    theta, covariance, losses = fit(x, y)
    report_fit(theta, covariance, losses)
    anatomy(theta, x, y)
    sizes = [len(x), 1000, 100_000] if quick else [len(x), 1000, 10_000, 100_000, 1_000_000]
    table = timings(theta, x, y, sizes)
    draw(theta, x, y, table, chart)
