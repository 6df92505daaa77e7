"""Calls of compiled code between guard pages: what it touches besides its arguments shows.

Every array lies between two pages that may not be touched, once at the end of its own pages and
once at their start.  Inputs are read-only.  What is left of an output's pages is filled with a
pattern that has to be there afterwards.  A stray access of a page ends the process, so the calls
are made in one of their own:

    child = Child()
    status, outputs = child.call(code, arrays, work_bytes)     # self-contained code
    child.run_program(seed)                                    # compiled kernels, by their entry
    child.close()

Start at `Child`; the section before it is what the other process does.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import pickle
import signal
import subprocess
import sys
import warnings

import numpy as np

PAGE = mmap.PAGESIZE
NOTHING, READ, WRITE = 0, mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE
PATTERN = 0xA5
UNWRITTEN = 77
"""What outputs hold before a call."""

IS_POSSIBLE = sys.platform == "linux"

# ---------------------------------------------------------------- memory


class Fenced:
    """Bytes at one end of pages of their own, between two pages that may not be touched."""

    def __init__(self, n_bytes: int, at_end: bool, align: int = 1):
        n_own = max(1, -(-n_bytes // PAGE)) * PAGE
        self.memory = mmap.mmap(-1, n_own + 2 * PAGE)
        whole = np.frombuffer(self.memory, np.uint8)
        self.base = whole.ctypes.data
        whole[:] = PATTERN
        start = (n_own - n_bytes) // align * align if at_end else 0
        self.own = whole[PAGE + start : PAGE + start + n_bytes]
        self.around = whole[PAGE : PAGE + start], whole[PAGE + start + n_bytes : -PAGE]
        self.address = self.base + PAGE + start
        self.n_own = n_own
        self.protect(0, PAGE, NOTHING)
        self.protect(PAGE + n_own, PAGE, NOTHING)

    def protect(self, start: int, n_bytes: int, access: int):
        libc = ctypes.CDLL(None, use_errno=True)
        where = ctypes.c_void_p(self.base + start)
        if libc.mprotect(where, ctypes.c_size_t(n_bytes), access):
            raise OSError(ctypes.get_errno(), "mprotect")

    def freeze(self):
        """Only reading from now on."""
        self.protect(PAGE, self.n_own, READ)

    def array(self, like: np.ndarray) -> np.ndarray:
        """The bytes as an array of such a kind."""
        return self.own.view(like.dtype).reshape(like.shape)

    def is_clean(self) -> bool:
        """Whether nothing was written beside the bytes."""
        return all((part == PATTERN).all() for part in self.around)


def _holding(array: np.ndarray, at_end: bool, align: int = 1) -> Fenced:
    fenced = Fenced(array.nbytes, at_end, align)
    fenced.own[:] = np.frombuffer(array.tobytes(), np.uint8)
    return fenced


# ---------------------------------------------------------------- self-contained code


def call_once(function, code, arrays, work_bytes: int, at_end: bool):
    """(status, outputs) of a call; AssertionError where it wrote outside of its arguments."""
    inputs = [_holding(x, at_end) for x in arrays]
    for fenced in inputs:
        fenced.freeze()
    blank = [np.full(shape, UNWRITTEN, dtype) for dtype, shape in code.outputs]
    outputs = [_holding(x, at_end) for x in blank]
    work = _holding(np.full(work_bytes, 0xFF, np.uint8), at_end, align=64)
    status = function(*(x.address for x in (*inputs, *outputs, work)), work_bytes)
    for number, fenced in enumerate(outputs):
        assert fenced.is_clean(), f"output {number}: written outside of it"
    assert work.is_clean(), "the work space: written outside of it"
    found = [fenced.array(x).copy() for fenced, x in zip(outputs, blank, strict=True)]
    if status > 0 or status == -1:
        same = (x.tobytes() == y.tobytes() for x, y in zip(found, blank, strict=True))
        assert all(same), f"status {status}, and yet an output was written"
    return status, found


def call(code, arrays, work_bytes):
    """The call with all arguments at the end of their pages, and at the start."""
    from tapejit.runtime import native

    library = native.compile_cached(code.text, (code.symbol,), {}, tier=code.tier)
    pointers = [ctypes.c_void_p] * (len(code.inputs) + len(code.outputs) + 1)
    kind = ctypes.CFUNCTYPE(ctypes.c_int32, *pointers, ctypes.c_int64)
    function = kind(library.address(code.symbol))
    answer = call_once(function, code, arrays, work_bytes, True)
    other = call_once(function, code, arrays, work_bytes, False)
    assert answer[0] == other[0], f"status {answer[0]}, and elsewhere in memory {other[0]}"
    if answer[0] == 0:
        for number, (x, y) in enumerate(zip(answer[1], other[1], strict=True)):
            assert x.tobytes() == y.tobytes(), f"output {number} differs elsewhere in memory"
    return answer


# ---------------------------------------------------------------- kernels


def run_program(seed: int) -> bool:
    """Value and gradient of a random program, on arrays between guard pages.

    Returns  whether it is a program for arrays too: methods mean NumPy's there
    """
    from operation_programs import draft

    import tapejit as tj

    text = draft(seed)
    program, arrays = text.function(), list(text.arguments.values())
    wanted = tuple(i for i, x in enumerate(arrays) if x.dtype.kind == "f")
    written = [i for i in wanted if arrays[i].ndim]  # gradients of others are numbers
    g = tj.value_and_grad(lambda *xs: program(tj, *xs), argnums=wanted)
    tolerance = 2e-4 if any(x.dtype == np.float32 for x in arrays) else 1e-9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # programs that are recorded anew
        try:
            expected = g(*arrays)
        except Exception:
            return False
        for at_end in (True, False, True, False):
            inputs = [_holding(x, at_end) for x in arrays]
            outputs = [_holding(arrays[i], at_end) for i in written]
            for fenced in inputs:
                fenced.freeze()
            given = [fenced.array(x) for fenced, x in zip(inputs, arrays, strict=True)]
            out = tuple(f.array(arrays[i]) for f, i in zip(outputs, written, strict=True))
            _check_close(g(*given), expected, tolerance)
            _check_close(g(*given, out=out), expected, tolerance)
            assert all(x.is_clean() for x in outputs), "written outside of out="
    return True


def _check_close(answer, expected, tolerance):
    """Eager programs are computed by other kernels when they have been seen a few times."""
    for x, y in zip((answer[0], *answer[1]), (expected[0], *expected[1]), strict=True):
        np.testing.assert_allclose(x, y, tolerance, tolerance * np.abs(y).max(initial=1.0))


# ---------------------------------------------------------------- the other process


class Child:
    """The process that calls.  It is started when first needed, and again after it died."""

    def __init__(self):
        self.process: subprocess.Popen | None = None

    def call(self, code, arrays, work_bytes: int):
        """(status, outputs) of self-contained code; AssertionError if it strays."""
        return self.ask(code.symbol, "call", code, arrays, work_bytes)

    def run_program(self, seed: int) -> bool:
        """Whether it ran; AssertionError if the kernels of the program stray."""
        return self.ask(f"draft({seed})", "run_program", seed)

    def ask(self, title: str, task: str, *given):
        """What a function of this module says in the other process."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        try:
            pickle.dump((task, given), self.process.stdin)
            self.process.stdin.flush()
            answer, complaint = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError):
            ended = self.process.wait()
            self.close()
            name = signal.Signals(-ended).name if ended < 0 else f"exit {ended}"
            raise AssertionError(f"{title} ended its process: {name}") from None
        assert not complaint, f"{title}: {complaint}"
        return answer

    def close(self):
        if self.process is not None:
            process, self.process = self.process, None
            process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()


def serve():
    """Do what is asked until nobody asks any more."""
    tasks = {"call": call, "run_program": run_program}
    while True:
        try:
            task, given = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer, complaint = None, ""
        try:
            answer = tasks[task](*given)
        except AssertionError as error:
            complaint = str(error)
        pickle.dump((answer, complaint), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()
