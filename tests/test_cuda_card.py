"""All that is tested of kernels on the simulated GPU, once more on a card.

Not yet run on one.  In a process of their own: the machine is chosen when modules are imported.
What programs compute there is in test_cuda_program.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITES = ("test_cuda_kernels.py", "test_cuda_loops.py")

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("suite", SUITES)
def test_what_is_simulated_holds_on_a_card(suite):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "not compiler"]
    found = subprocess.run(
        [*command, str(Path(__file__).parent / suite)],
        env={**os.environ, "TAPEJIT_TEST_CARD": "1"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout[-20000:] + found.stderr
