"""What every test may rely on: a cache directory of the session's own, and fixed seeds."""

from __future__ import annotations

import os
import random
import zlib

import numpy as np
import pytest

import tapejit


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
