"""What every test may rely on: a cache directory of the session's own, and fixed seeds."""

from __future__ import annotations

import gc
import importlib.util
import os
import random
import zlib

import numpy as np
import pytest
from cuda_needs import LACKS, lacking

import tapejit
from tapejit.transforms.paths import Paths


def pytest_collection_finish():
    """The objects of 24,000 tests are looked at no more: a collection takes 0.4 s with them."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    """Tests of GPUs are skipped where what their marks say is missing."""
    for mark in LACKS:
        marked = [item for item in items if mark in item.keywords]
        reason = lacking(mark) if marked else ""
        for item in marked if reason else ():
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def thawed():
    """For tests of what asks the collector for all objects there are."""
    gc.unfreeze()
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache_directory(tmp_path_factory):
    """Compiled code goes to a fresh directory, unless TAPEJIT_CACHE_DIR names one."""
    if not os.environ.get("TAPEJIT_CACHE_DIR"):
        os.environ["TAPEJIT_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache") / "tapejit")


@pytest.fixture(autouse=True)
def seeds(request):
    """Every test starts from a seed that depends on its id only, not on the tests before it."""
    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)
    tapejit.manual_seed(seed)


@pytest.fixture(autouse=True)
def entered_at_once(monkeypatch):
    """With TAPEJIT_TEST_ENTER=1 the second call of everything is a native one, not the third."""
    if os.environ.get("TAPEJIT_TEST_ENTER"):
        run = Paths.run

        def run_as_known(self, *call):
            path, results, is_known = run(self, *call)
            is_kept = any(path in paths for paths in list(self.by_signature.values()))
            return path, results, is_known or is_kept

        monkeypatch.setattr(Paths, "run", run_as_known)


@pytest.fixture
def ir_lowering(monkeypatch):
    """For tests of what only that lowering has (tiers, the interpreter), whatever runs the rest."""
    monkeypatch.setenv("TAPEJIT_BACKEND", "ir")  # for processes that are started
    with tapejit.config.set(backend="ir"):
        yield


PEERS = {
    "torch": "pip install torch==2.13.0",
    "jax": "pip install jax",
    "scipy": "pip install scipy",
}


def pytest_terminal_summary(terminalreporter):
    """Say aloud which peers are missing: the comparisons with them were skipped."""
    skipped = len(terminalreporter.stats.get("skipped", ()))
    for name, remedy in PEERS.items():
        if importlib.util.find_spec(name) is None:
            terminalreporter.write_line(
                f"{name} is not installed: comparisons with it are among the {skipped} skipped "
                f"tests\n  try  {remedy}"
            )
