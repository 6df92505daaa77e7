"""The benchmarks' own machinery: it must not lie.  Nothing here depends on how fast anything is.

The generator draws the same bounded programs every time; the hand-written gradients that the
peers are compared with are right; a gradient wrong by a factor 1.001 is caught, on any draw of
the data; verdicts follow the ratios; what is missing is said.
"""

import json
import math
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

# `benchmarks` is not installed with the package: it lies beside it in the repository, and pytest
# puts only tests/ on the path.  So the imports come after this, and
# ruff: noqa: E402
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tapejit as tj
from benchmarks import __main__ as command
from benchmarks import compare, harness, judge, programs, report, worker
from benchmarks.records import Case, Runner, Target
from benchmarks.workloads import NAMES, black_scholes, elementwise, gpu, likelihoods, small_call

# ---------------------------------------------------------------- the generator


@pytest.mark.parametrize("n_operations", [3, 10, 30, 100, 1000])
def test_programs_are_deterministic_and_of_the_size_asked_for(n_operations):
    program = programs.generate(1, n_operations)
    assert len(program.steps) == n_operations
    assert program == programs.generate(1, n_operations)
    if n_operations >= 10:
        assert program.steps != programs.generate(2, n_operations).steps


def test_a_program_reads_as_expected():
    # a changed generator makes old results incomparable: change this text on purpose only
    assert programs.source(programs.generate(1, 5)) == GOLDEN


GOLDEN = """\
def program(x, y, z):
    v0 = x - z
    v1 = xp.exp(y)
    v2 = xp.sin(z)
    v3 = v0 + v1
    v4 = v3 + v2
    return xp.sum(v4)
"""


@pytest.mark.parametrize("seed", range(20))
def test_values_and_gradients_stay_bounded(seed):
    settings = {"n_operations": 200, "n_elements": 20, "seed": seed}
    x = elementwise.inputs(settings, 0)
    value, gradients = _by_hand(settings, x)
    assert abs(value) <= 3 * programs.LIMIT_VALUE * 20
    for gradient in gradients:
        assert np.all(np.abs(gradient) <= 3 * programs.LIMIT_SLOPE)
        assert np.any(gradient != 0.0)


def test_no_step_is_dead():
    program = programs.generate(3, 100)
    read = {operand for step in program.steps for operand in step.operands}
    assert read >= {step.name for step in program.steps[:-1]} | set(programs.INPUTS)


def test_too_small_a_program_is_refused():
    with pytest.raises(ValueError, match="at least 3, got 2"):
        programs.generate(1, 2)


def _by_hand(settings, inputs):
    """The hand numba peer of `elementwise`, not compiled."""
    program = programs.generate(settings["seed"], settings["n_operations"])
    kernel = programs.load(programs.source_numba(program), "kernel", "test", math=math)
    return elementwise.with_outputs(kernel)(*inputs)


# ---------------------------------------------------------------- the hand-written gradients

STUDENT_T = {"model": likelihoods.STUDENT_T, "n": 9, "seed": 3}
LOGISTIC = {"model": likelihoods.LOGISTIC, "n": 9, "d": 4, "seed": 4}


def _erf(x):
    return np.vectorize(math.erf, otypes=[float])(x)


def _hand_rows():
    for size in (10, 30, 100):
        settings = {"n_operations": size, "n_elements": 5, "seed": size}
        yield pytest.param(
            elementwise.function(settings, np),
            lambda *inputs, settings=settings: _by_hand(settings, inputs),
            elementwise.inputs(settings, 0),
            elementwise.ARGNUMS,
            id=f"elementwise-{size}",
        )
    yield pytest.param(
        black_scholes.total_price(np, _erf),
        black_scholes.with_outputs(black_scholes.kernel),
        black_scholes.inputs({"n_options": 5, "seed": 7}, 0),
        black_scholes.ARGNUMS,
        id="black_scholes",
    )
    yield pytest.param(
        likelihoods.function(STUDENT_T, np),
        likelihoods.student_t_call(likelihoods.student_t_kernel),
        likelihoods.inputs(STUDENT_T, 0),
        likelihoods.argnums(STUDENT_T),
        id="student-t",
    )
    yield pytest.param(
        likelihoods.function(LOGISTIC, np),
        likelihoods.logistic_call(likelihoods.logistic_kernel),
        likelihoods.inputs(LOGISTIC, 0),
        likelihoods.argnums(LOGISTIC),
        id="logistic",
    )
    yield pytest.param(
        small_call.rosenbrock(np),
        small_call.with_list(small_call.kernel),
        small_call.inputs({"n": 10, "seed": 6}, 0),
        (0,),
        id="rosenbrock",
    )


@pytest.mark.parametrize(("function", "by_hand", "inputs", "argnums"), list(_hand_rows()))
def test_hand_written_gradients_are_right(function, by_hand, inputs, argnums):
    value, gradients = by_hand(*inputs)
    assert value == pytest.approx(function(*inputs), rel=1e-12)
    for argnum, gradient in zip(argnums, gradients, strict=True):
        expected = _central_differences(function, inputs, argnum)
        # with step 1e-5 the difference rounds to 1e-11 of the value, and truncates near 1e-10
        atol = 1e-10 * max(1.0, abs(value))
        np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=atol)


def _central_differences(function, inputs, argnum):
    x = np.array(inputs[argnum], dtype=float)
    slopes = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        ends = []
        for step in (1e-5, -1e-5):
            moved = x.copy()
            moved[index] += step
            ends.append(function(*inputs[:argnum], moved, *inputs[argnum + 1 :]))
        slopes[index] = (ends[0] - ends[1]) / 2e-5
    return slopes


# ---------------------------------------------------------------- comparisons

RIGHT = [np.float64(3.0), np.linspace(-2.0, 5.0, 100)]


def test_equal_outputs_pass():
    rounded = [RIGHT[0] * (1 + 1e-12), RIGHT[1] * (1 - 1e-12)]
    assert 0.0 < compare.check_outputs(rounded, RIGHT, 1e-8) < 1e-11
    assert compare.check_outputs(RIGHT, RIGHT, 0.0) == 0.0


@pytest.mark.parametrize("element", [slice(None), 0, 50, 99])
def test_a_gradient_wrong_by_1_001_is_caught(element):
    gradient = RIGHT[1].copy()
    gradient[element] *= 1.001
    with pytest.raises(compare.OutputsDiffer, match="gradient 0: off by"):
        compare.check_outputs([RIGHT[0], gradient], RIGHT, 1e-8)


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (RIGHT[1][:-1], "shape"),
        (RIGHT[1][:, None], "shape"),
        (RIGHT[1].astype(np.float32), "dtype"),
        (np.where(RIGHT[1] > 4.0, np.nan, RIGHT[1]), "off by inf"),
        (np.where(RIGHT[1] > 4.0, np.inf, RIGHT[1]), "off by inf"),
        (np.zeros(100), "off by"),
    ],
)
def test_other_wrong_gradients_are_caught(gradient, message):
    with pytest.raises(compare.OutputsDiffer, match=f"gradient 0: {message}"):
        compare.check_outputs([RIGHT[0], gradient], RIGHT, 1e-8)


def test_a_missing_gradient_is_caught():
    with pytest.raises(compare.OutputsDiffer, match="1 outputs, expected 2"):
        compare.check_outputs(RIGHT[:1], RIGHT, 1e-8)


# ---------------------------------------------------------------- the harness, in this process

FAKE = "benchmarks_fake_workload"


def _square(factor=1.0):
    def call(x):
        return np.sum(x * x), [2.0 * factor * x]

    return lambda settings: Runner(lambda: call)


def _baked_in(settings):
    """Answers every call with what it saw first, as a stale compiled program would."""

    def make():
        seen = []

        def call(x):
            seen.append((np.sum(x * x), [2.0 * x]))
            return seen[0]

        return call

    return Runner(make, calls_until_compiled=2)


def _raising(settings):
    raise RuntimeError("no such kernel")


@pytest.fixture
def fake(monkeypatch):
    """A workload of plain NumPy peers, two programs, and a sample that is not timed."""
    module = types.ModuleType(FAKE)
    module.SUMMARY = "sum of squares"
    module.PEERS = {"tapejit": _square(), "numba": _square()}
    module.TARGETS = (Target("warm", 1e-9, ("numba",)), Target("cold", 1e9, ("numba",)))
    module.cases = lambda quick: [Case("small", ({"n": 5}, {"n": 7}))]
    module.inputs = lambda settings, draw: (np.arange(settings["n"]) + draw + 1.0,)
    monkeypatch.setitem(sys.modules, FAKE, module)
    monkeypatch.setattr(worker.Session, "calibrate", lambda self, number: 1)
    monkeypatch.setattr(harness, "Worker", InProcess)
    return module


class InProcess:
    """Stands for harness.Worker: the same session, without the process."""

    def __init__(self, workload, peer, cpu):
        self.session = worker.Session(workload, peer)
        self.import_s = 0.0
        self.process = types.SimpleNamespace(poll=lambda: None)

    def ask(self, command, *arguments, limit_s=0.0):
        if command == "warm_up":
            return None
        try:
            return self.session.handle(command, *arguments)
        except RuntimeError as error:
            raise harness.PeerFailed(str(error)) from error

    def stop(self):
        self.session = None


def _run(module, quick=False):
    said = []
    result = harness.run_workload(module, quick, -1, said.append)
    result["verdicts"] = report.verdicts(result["cases"], module.TARGETS, quick)
    return result, "\n".join(said)


def _results(*workloads, quick=False):
    return {
        "schema": 1,
        "started": "2026-01-01T00:00:00+00:00",
        "quick": quick,
        "commit": {"hash": "abc", "changed": False},
        "machine": {
            "processor": "P",
            "n_cpus": 1,
            "system": "S",
            "load": 0.0,
            "load_after": 0.0,
            "cpu": 0,
        },
        "versions": {"python": "3", "jax": None},
        "protocol": {"min_sample_s": 0.005, "n_samples": 7, "environment": {}},
        "workloads": list(workloads),
    }


def test_a_run_gives_complete_results(fake, tmp_path):
    result, _ = _run(fake)
    results = _results(result)
    paths = report.write(results, tmp_path)
    assert [path.name for path in paths] == ["results.json", "table.txt"]
    assert json.loads(paths[0].read_text()) == results
    case = results["workloads"][0]["cases"][0]
    for record in case["peers"].values():
        assert record["status"] == "ok" and record["fresh_s"] > 0
        assert [len(program["samples_s"]) for program in record["programs"]] == [7, 7]
    assert [verdict["word"] for verdict in result["verdicts"]] == ["met", "missed"]
    text = paths[1].read_text()
    assert "target cold >= 1e+09x numba:" in text and "x, missed" in text
    assert "targets: 1 met, 1 missed, 0 not judged" in text
    assert not command.is_wrong(results)


def test_the_schema_check_sees_what_is_missing(fake):
    results = _results(_run(fake)[0])
    del results["workloads"][0]["cases"][0]["peers"]["numba"]["status"]
    with pytest.raises(AssertionError, match="status"):
        report.check_results(results)


@pytest.mark.parametrize(
    ("peer", "status", "message"),
    [
        (_square(1.001), "wrong", "gradient 0: off by"),
        (_baked_in, "wrong", "value: off by"),
        (_raising, "failed", "no such kernel"),
    ],
)
def test_a_bad_peer_is_said_and_misses_its_targets(fake, peer, status, message):
    fake.PEERS["tapejit"] = peer
    result, said = _run(fake)
    record = result["cases"][0]["peers"]["tapejit"]
    assert record["status"] == status and message in record["detail"]
    assert f"tapejit: {status.upper()}" in said and message in said
    assert {verdict["word"] for verdict in result["verdicts"]} == {"missed"}
    text = report.table(_results(result))
    assert f"{status.upper()}: " in text and message in text
    assert command.is_wrong(_results(result))


def test_a_missing_peer_is_skipped_aloud(fake, monkeypatch):
    class Missing(InProcess):
        def __init__(self, workload, peer, cpu):
            if peer == "numba":
                raise harness.PeerMissing("No module named 'numba'")
            super().__init__(workload, peer, cpu)

    monkeypatch.setattr(harness, "Worker", Missing)
    result, said = _run(fake)
    assert "numba: SKIPPED, No module named 'numba'" in said
    assert result["cases"][0]["peers"]["tapejit"]["status"] == "ok"
    assert {verdict["word"] for verdict in result["verdicts"]} == {"not judged"}
    assert "SKIPPED: No module named 'numba'" in report.table(_results(result))


def test_a_slow_peer_is_stopped_and_its_limit_counts(fake, monkeypatch):
    class Slow(InProcess):
        def ask(self, command, *arguments, limit_s=0.0):
            if command == "prepare" and self.session.peer == "numba":
                raise harness.OverLimit("no answer")
            return super().ask(command, *arguments)

    monkeypatch.setattr(harness, "Worker", Slow)
    result, said = _run(fake)
    assert "numba: OVER LIMIT" in said
    warm, cold = result["verdicts"]
    assert warm["word"] == "not judged" and warm["ratio"] is None
    assert cold["at_least"] and "too short to tell" in cold["detail"]
    assert "> 120 s" in report.table(_results(result))


# ---------------------------------------------------------------- verdicts


def _case(**peers):
    """A case in which each peer has these warm times, one per program; None: over its limit."""
    records = {}
    for peer, times in peers.items():
        programs_ = [{"over_s": 60.0} if t is None else {"cold_s": t, "min_s": t} for t in times]
        status = "over limit" if None in times else "ok"
        records[peer] = {"status": status, "programs": programs_}
    return {"name": "c", "limit_s": 60.0, "peers": records}


def test_the_ratio_is_the_median_over_programs():
    case = _case(tapejit=[1.0, 1.0, 2.0], jax=[3.0, 100.0, 8.0])
    assert judge.ratio(case, "tapejit", "jax", "warm") == (4.0, False)
    assert judge.ratio(case, "jax", "tapejit", "warm").value == pytest.approx(0.25)
    assert judge.ratio(case, "tapejit", "torch", "warm") is None


def test_the_best_peer_is_judged_against():
    case = _case(tapejit=[1.0], jax=[5.0], torch=[2.0])
    verdict = judge.judge(case, Target("warm", 3.0, ("jax", "torch")), quick=False)
    assert (verdict.word, verdict.ratio.value, verdict.detail) == ("missed", 2.0, "torch")
    verdict = judge.judge(case, Target("warm", 2.0, ("jax", "torch", "numba")), quick=False)
    assert (verdict.word, verdict.detail) == ("met", "torch, without numba")


def test_a_time_limit_is_a_lower_bound():
    case = _case(tapejit=[2.0], jax=[None])
    assert judge.judge(case, Target("cold", 25.0, ("jax",)), quick=False).word == "met"
    assert judge.judge(case, Target("cold", 31.0, ("jax",)), quick=False).word == "not judged"
    assert judge.judge(case, Target("warm", 3.0, ("jax",)), quick=False).word == "not judged"


def test_quick_runs_and_other_cases_are_not_judged():
    case = _case(tapejit=[1.0], jax=[5.0])
    assert judge.judge(case, Target("warm", 3.0, ("jax",)), quick=True).word == "not judged"
    assert judge.judge(case, Target("warm", 3.0, ("jax",), cases=("d",)), quick=False) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.56e-5, "45.6 us"), (7e-9, "7 ns"), (1234.5, "1234 s")],
)
def test_seconds_are_printed_with_a_unit(value, text):
    assert report.seconds(value) == text


# ---------------------------------------------------------------- the command line


def test_list_names_every_workload_peer_and_target(capsys):
    assert command.main(["--list"]) == 0
    text = capsys.readouterr().out
    for name in NAMES:
        assert f"{name}: " in text
    assert "cold >= 25x jax" in text and "tapejit eager" in text


def test_an_unknown_workload_is_named(capsys):
    with pytest.raises(SystemExit):
        command.main(["no_such"])
    assert "no workload 'no_such'; known: elementwise, " in capsys.readouterr().err


def test_importing_the_front_loads_no_library():
    code = "import sys, benchmarks.worker, benchmarks.peers; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"numpy", "numba", "jax", "torch", "tapejit"} & set(done.stdout.split())


def test_every_workload_has_the_form_of_a_workload():
    for name in NAMES:
        module = __import__(f"benchmarks.workloads.{name}", fromlist=["PEERS"])
        assert module.SUMMARY and (module.TARGETS or module.FIGURES)
        names = {case.name for case in module.cases(False)}  # a quick run may leave some out
        assert all(set(target.cases) <= names for target in module.TARGETS)
        assert set(module.PEERS) <= set(harness.PEERS)
        for target in module.TARGETS:
            assert {target.subject, *target.against} <= set(module.PEERS)
        json.dumps([case.programs for case in module.cases(False)])


def test_the_chart_is_drawn(fake, tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks import chart

    result, _ = _run(fake)
    targets = {FAKE: fake.TARGETS}
    path = chart.draw(_results(result), targets, tmp_path / "chart.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert chart.draw(_results(), targets, tmp_path / "none.png") is None


def test_no_chart_without_matplotlib(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert command.draw_chart(_results(), {}, tmp_path) == []
    assert "matplotlib is not installed" in capsys.readouterr().out


# ---------------------------------------------------------------- real worker processes


@pytest.mark.parametrize("peer", ["jax", "jax, no fusion", "torch"])
def test_a_peer_in_its_process_agrees_with_the_hand_written_loop(peer):
    pytest.importorskip(harness.PEERS[peer].module)
    settings = {"n_operations": 30, "n_elements": 20, "seed": 1}
    peer_worker = harness.Worker("benchmarks.workloads.elementwise", peer)
    try:
        answer = peer_worker.ask("prepare", settings)
        outputs = peer_worker.ask("outputs", answer["number"])
    finally:
        peer_worker.stop()
    for draw, got in zip(worker.DRAWS, outputs, strict=True):
        value, gradients = _by_hand(settings, elementwise.inputs(settings, draw))
        compare.check_outputs(got, [value, *gradients], 1e-10)


def test_a_worker_reports_what_its_peer_raised_and_lives_on():
    peer_worker = harness.Worker("benchmarks.workloads.small_call", "numba")
    try:
        with pytest.raises(harness.PeerFailed, match="KeyError: 'n'"):
            peer_worker.ask("prepare", {"seed": 1})
        assert peer_worker.ask("forget") is None
        with pytest.raises(harness.OverLimit):
            peer_worker.ask("prepare", {"n": 10, "seed": 1}, limit_s=0.0)
    finally:
        peer_worker.stop()


def test_a_worker_whose_library_is_missing_says_so(monkeypatch, tmp_path):
    # a module of that name that cannot be found, whatever is installed
    absent = harness.PEERS["torch"]._replace(module="no_such_library")
    (tmp_path / "sitecustomize.py").write_text(
        "from benchmarks import peers\n"
        "peers.PEERS['torch'] = peers.PEERS['torch']._replace(module='no_such_library')\n"
    )
    paths = f"{tmp_path}:{ROOT}"
    monkeypatch.setitem(harness.PEERS, "torch", absent._replace(environment={"PYTHONPATH": paths}))
    with pytest.raises(harness.PeerMissing, match="No module named 'no_such_library'"):
        harness.Worker("benchmarks.workloads.elementwise", "torch")


# ---------------------------------------------------------------- on a GPU


@pytest.mark.parametrize("what", gpu.TINY)
def test_what_runs_on_a_gpu_agrees_with_torch(what):
    pytest.importorskip("torch")
    settings = {"what": what, "sizes": list(gpu.TINY[what]), "device": "cpu", "seed": 3}
    with tj.config.set(cuda="simulator"):
        outputs = _outputs(gpu._tapejit(settings), settings)
    compare.check_outputs(outputs, _outputs(gpu._torch(settings), settings), 2e-4)


def _outputs(runner, settings):
    loaded = runner.load(gpu.inputs(settings, 0))
    return [worker._to_numpy(leaf) for leaf in worker._leaves(runner.make()(*loaded))]


def test_without_a_gpu_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(gpu, "unavailable", lambda: "there is none\n  try  another machine")
    said = []
    result = harness.run_workload(gpu, True, -1, said.append) | {"verdicts": []}
    assert said == ["  there is none\n    try  another machine"] and not result["cases"]
    assert not command.is_wrong(_results(result))
    assert "there is none" in report.table(_results(result))
