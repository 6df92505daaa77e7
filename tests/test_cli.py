"""The command line: what it prints, and how it says what is wrong."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tapejit import __main__ as cli
from tapejit import demo

FILE = """
import numpy as np
import tapejit as tj

EXAMPLE_ARGS = (np.linspace(0.0, 1.0, 10), 2.0)


def energy(x, k):
    y = np.sin(x * k)
    return (y * y + 1.0).sum()


def half(x, k):
    return x / 2


slope = tj.grad(energy)
NUMBER = 3
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    path = tmp_path / "shown_example.py"
    path.write_text(FILE)
    return path


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = cli.main([str(a) for a in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_show_prints_every_stage(file, capsys):
    status, out, _ = run(capsys, "show", f"{file}:energy")
    assert status == 0
    headings = [line for line in out.splitlines() if line.startswith("====")]
    assert [h.split(",")[0] for h in headings] == [
        "==== tape",
        "==== simplified",
        "==== schedule",
        "==== kernel k0 as Python",
    ]
    assert "%3 = sin %2                              f64[10]" in out
    assert "def k0(args, meta, begin, end):" in out
    assert "define" not in out


def test_show_of_the_gradient_and_ir(file, capsys):
    _, out, _ = run(capsys, "show", f"{file}:energy", "--grad", "--ir")
    assert "cos" in out and "define void @k0" in out


def test_show_goes_through_a_transform(file, capsys):
    status, out, _ = run(capsys, "show", f"{file}:slope")
    assert status == 0 and "cos" in out


def test_show_takes_arguments_from_the_command_line(file, capsys):
    _, out, _ = run(capsys, "show", f"{file}:half", "--args", "np.zeros((3, 4)), None")
    assert "f64[3,4]" in out


def test_show_for_graphviz(file, capsys):
    _, out, _ = run(capsys, "show", f"{file}:energy", "--dot")
    assert out.startswith("digraph tape {")


@pytest.mark.parametrize(
    ("target", "extra", "words"),
    [
        ("{file}:enrgy", (), "has no function 'enrgy'\n  it has  energy, half"),
        ("{file}:NUMBER", (), "has no function 'NUMBER'"),
        ("{file}", (), "FILE:FUNCTION is needed"),
        ("nowhere.py:f", (), "there is no file 'nowhere.py'"),
        ("{file}:energy", ("--args", "np.zeros(3)"), "missing a required argument: 'k'"),
        ("{file}:energy", ("--args", "np.zeros(3"), "SyntaxError"),
        ("{file}:energy", ("--args", "y, 2.0"), "NameError: name 'y' is not defined"),
    ],
)
def test_show_says_what_is_wrong(file, capsys, target, extra, words):
    status, _, err = run(capsys, "show", target.format(file=file), *extra)
    assert status == 2 and words in err


def test_show_of_a_file_without_arguments(tmp_path, capsys):
    path = tmp_path / "bare.py"
    path.write_text("def f(x):\n    return 1.0\n")
    assert "which arguments?" in run(capsys, "show", f"{path}:f")[2]
    status, _, err = run(capsys, "show", f"{path}:f", "--args", "2.0")
    assert status == 1 and "TraceError: f: no result depends on an argument" in err


def test_gradient_of_no_scalar(file, capsys):
    status, _, err = run(capsys, "show", f"{file}:half", "--grad")
    assert status == 1 and "a gradient needs one float scalar" in err


def test_ops(capsys):
    _, out, _ = run(capsys, "ops")
    assert "\ntanh             elementwise  partials" in out and out.endswith("operations\n")
    _, out, _ = run(capsys, "ops", "tanh")
    assert "value       math.tanh(x)" in out and "%3 = mul %1, %1" in out
    status, _, err = run(capsys, "ops", "tanhh")
    assert status == 2 and "there is no operation 'tanhh'" in err and "tanh" in err


def test_no_command_is_an_error(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
    assert "show | ops | numpy | stubs | demo" in capsys.readouterr().err


def test_it_is_a_program():
    command = [sys.executable, "-m", "tapejit", "ops", "sum"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0 and found.stdout.startswith("sum\n")


# ---------------------------------------------------------------- the demonstration


def test_the_data_are_those_of_forbes():
    x, y = demo.forbes()
    assert x.shape == y.shape == (17,)
    fahrenheit = (1000.0 / x - 273.15) * 1.8 + 32.0
    slope, level = np.polyfit(fahrenheit, np.exp(y), 1)
    # the published least squares line (Weisberg, Applied Linear Regression): -81.0637 + 0.5229 F
    np.testing.assert_allclose((level, slope), (-81.06373, 0.522892), rtol=1e-6)


def test_the_fit_is_a_minimum():
    x, y = demo.forbes()
    theta, covariance, losses = demo.fit(x, y)
    assert losses == sorted(losses, reverse=True)
    value, gradient = demo.by_hand(theta, x, y)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)
    assert np.all(np.linalg.eigvalsh(covariance) > 0)
    heat = -theta[1] * demo.GAS_CONSTANT
    assert abs(heat - 41.1) < 1.0  # kJ/mol, steam tables at 90 °C
    assert abs(value - losses[-1]) < 1e-9


def test_the_demonstration_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "best_ms", lambda call: call() and 1.0)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    demo.main(quick=True, chart=tmp_path / "fit.png")
    out = capsys.readouterr().out
    assert "tensor(9., grad_fn=<PowBackward0>)" in out
    assert "kJ/mol" in out and "kernel k0 as Python" in out
    assert "matplotlib is not installed\n  try  pip install 'tapejit[plots]'" in out


def test_the_chart(tmp_path):
    pytest.importorskip("matplotlib")
    x, y = demo.forbes()
    theta = np.array([3.2, -5.0, -6.0])
    table = [{"rows": n, "hand": 1.0, "eager": 2.0, "compiled": 0.1} for n in (10, 100)]
    assert demo.draw(theta, x, y, table, tmp_path / "fit.png")
    assert (tmp_path / "fit.png").stat().st_size > 10_000
