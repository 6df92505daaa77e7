"""Guard pages notice strays; kernels that are given arrays by the native entry make none.

TAPEJIT_FUZZ  how many random programs there are (default 5)

What is self-contained is called between guard pages by test_freestanding.py.
"""

from __future__ import annotations

import os

import guard_pages
import numpy as np
import pytest

from tapejit.runtime.freestanding import Freestanding

pytestmark = pytest.mark.skipif(not guard_pages.IS_POSSIBLE, reason="mprotect as Linux has it")

N_PROGRAMS = int(os.environ.get("TAPEJIT_FUZZ", "5"))


@pytest.fixture(scope="module")
def child():
    child = guard_pages.Child()
    yield child
    child.close()


def doubling(read: int, write: int, status: int = 0, n_work: int = 0) -> Freestanding:
    """y[write] = 2 x[read], of three numbers each; and the first byte past so much work space."""
    text = (
        "define i32 @tj_stray(ptr %x, ptr %y, ptr %work, i64 %work_bytes) {\n"
        f"%from = getelementptr double, ptr %x, i64 {read}\n"
        f"%to = getelementptr double, ptr %y, i64 {write}\n"
        "%a = load double, ptr %from\n%b = fadd double %a, %a\nstore double %b, ptr %to\n"
        f"%last = getelementptr i8, ptr %work, i64 {n_work}\nstore i8 0, ptr %last\n"
        f"ret i32 {status}\n}}\n"
    )
    three = ((np.dtype(float), (3,)),)
    return Freestanding(text, "tj_stray", three, three, 192, (), 0)


def test_a_call_that_stays_inside(child):
    status, (y,) = child.call(doubling(1, 2), [np.array([1.0, 2.0, 3.0])], 192)
    assert status == 0
    assert y.tolist() == [guard_pages.UNWRITTEN, guard_pages.UNWRITTEN, 4.0]


@pytest.mark.parametrize(
    "code, complaint",
    [
        (doubling(3, 0), "ended its process: SIGSEGV"),
        (doubling(-1, 0), "ended its process: SIGSEGV"),
        (doubling(0, 3), "ended its process: SIGSEGV"),
        (doubling(0, -1), "output 0: written outside of it"),
        (doubling(0, 0, n_work=-1), "the work space: written outside of it"),
        (doubling(0, 0, status=1), "status 1, and yet an output was written"),
    ],
)
def test_strays_are_noticed(child, code, complaint):
    with pytest.raises(AssertionError, match=complaint):
        child.call(code, [np.array([1.0, 2.0, 3.0])], 192)


def test_kernels_of_random_programs(child):
    ran = [child.run_program(seed) for seed in range(100, 100 + N_PROGRAMS)]
    assert sum(ran) > N_PROGRAMS / 2
