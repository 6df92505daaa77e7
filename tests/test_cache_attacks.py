"""The cache under attack: right answers, nothing raised, one warning at most, entries mended.

What is done to it is in benchmarks/attacks.py.  TAPEJIT_TEST_ATTACKS=1000 for more of it.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks import attacks
from tapejit import cache
from tapejit.runtime import native

N_ATTACKS = int(os.environ.get("TAPEJIT_TEST_ATTACKS", "150"))

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="attacks in POSIX's words")


@pytest.mark.parametrize("first", range(10))
def test_attacks_do_no_harm(first, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_warned", False)
    monkeypatch.delenv("TAPEJIT_CACHE", raising=False)
    for seed in range(first, N_ATTACKS, 10):
        place = tmp_path / str(seed)
        place.mkdir()
        outcome = attacks.run(seed, place)
        assert outcome.is_harmless, (seed, outcome)


def test_every_attack_is_among_them():
    assert N_ATTACKS >= len(attacks.ATTACKS) >= 45


def seed_of(name):
    return sorted(attacks.ATTACKS).index(name)


def test_harm_would_be_noticed(tmp_path, monkeypatch):
    """A cache that does not look at keys gives the wrong code; one that cannot write mends nothing;
    one that lets errors out raises."""
    monkeypatch.setattr(cache, "_warned", False)
    places = [tmp_path / name for name in "abc"]
    for place in places:
        place.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(cache, "unframe", lambda key, data: data[cache._HEAD_BYTES + len(key) :])
        assert attacks.run(seed_of("other_entry"), places[0]).wrong > 0
    with monkeypatch.context() as patch:
        patch.setattr(cache.ObjectStore, "put", lambda *arguments: None)
        outcome = attacks.run(seed_of("missing"), places[1])
        assert not outcome.mended and not outcome.wrong
    with monkeypatch.context() as patch:
        patch.setattr(cache.ObjectStore, "get", lambda store, key: store._read(key))
        assert attacks.run(seed_of("missing"), places[2]).exceptions


@pytest.mark.parametrize(
    "change",
    [
        {"features": "+avx10.9"},
        {"cpu": "z80"},
        {"triple": "z80-unknown-none"},
        {"llvm": (3, 1, 4)},
        {"llvmlite": "0.0"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_code_from_elsewhere_is_not_ours(change, monkeypatch):
    here = native.content_key("text")
    there = native.host()._replace(**change)
    monkeypatch.setattr(native, "host", lambda: there)
    assert native.content_key("text") != here


# ---------------------------------------------------------------- whole processes

GRADIENT = """
import sys, numpy as np, tapejit as tj
from tapejit.runtime.compiled import statistics
f = tj.value_and_grad(lambda x: np.sum(np.tanh(x) * x))
x = np.linspace(-2.0, 2.0, 7)
for _ in range(2):
    value, slope = f(x)
    np.testing.assert_allclose(slope, np.tanh(x) + x / np.cosh(x) ** 2, rtol=1e-12)
"""

DAMAGE = {
    "whole": lambda data: data,
    "cut": lambda data: data[:-1],
    "flipped": lambda data: data[:200] + bytes([data[200] ^ 4]) + data[201:],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_process_that_finds_every_entry_damaged(damage, tmp_path):
    environment = {**os.environ, "TAPEJIT_CACHE_DIR": str(tmp_path), "TAPEJIT_CACHE": "1"}
    command = [sys.executable, "-W", "error", "-c", GRADIENT]
    subprocess.run(command, env=environment, check=True)
    good = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(good) >= 3  # the kernel, tanh, the launcher's entry
    for path, data in good.items():
        path.write_bytes(DAMAGE[damage](data))
    subprocess.run(command, env=environment, check=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == good


LIMITED = """
import os, resource, sys, warnings
import numpy.testing
import tapejit as tj
from tapejit.cache import _WRITER
tj.grad(lambda x: x * x * 3.0)(2.0)  # everything is imported, and the directory is there
_WRITER.flush()
{limit}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    {gradient}
    _WRITER.flush()
print(*(warning.message for warning in caught), sep="\\n---\\n")
"""

LIMITS = {
    "files of 1000 bytes": "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))",
    "no files": "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))",
    "somebody else's process": "os.setuid(65534)",
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_process_that_may_not_write(limit, tmp_path):
    """What the system itself refuses, with its own errors."""
    if "setuid" in LIMITS[limit] and os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    gradient = GRADIENT.strip().replace("\n", "\n    ")
    code = LIMITED.format(limit=LIMITS[limit], gradient=gradient)
    place = tmp_path / "cache"
    environment = {**os.environ, "TAPEJIT_CACHE_DIR": str(place), "TAPEJIT_CACHE": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.count("compiled code is not kept on disk") == 1
    assert not list(tmp_path.glob("**/*.tmp"))
    subprocess.run([sys.executable, "-W", "error", "-c", GRADIENT], env=environment, check=True)
    assert len(list(place.glob("*.tjo"))) >= 3


WITHOUT_COMPILER = """
from tapejit.runtime import native
def refuse(*arguments, **options):
    raise AssertionError("compiled, though it is on disk")
native.compile_object = refuse
"""


def test_a_second_process_compiles_nothing(tmp_path):
    environment = {**os.environ, "TAPEJIT_CACHE_DIR": str(tmp_path), "TAPEJIT_CACHE": "1"}
    command = [sys.executable, "-W", "error", "-c"]
    first = subprocess.run([*command, WITHOUT_COMPILER + GRADIENT], env=environment, stderr=-1)
    assert b"compiled, though" in first.stderr
    subprocess.run([*command, GRADIENT], env=environment, check=True)
    subprocess.run([*command, WITHOUT_COMPILER + GRADIENT], env=environment, check=True)
