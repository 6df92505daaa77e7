"""Threads for long kernels: a small pool, in IR, over the thread primitives CPython itself uses.

The one idea: results do not depend on threads, because a kernel's units are independent of each
other and every total is left as one partial per unit (plan.py).  So a launch is a counter: whoever
comes, the caller first of all, takes the next chunk of units until there are none.

    caller    takes `busy`, states the job, opens it, wakes the workers that sleep, works,
              closes it, waits for the workers that joined - never for one that has not
    worker    spins for about 50 us, then sleeps on a lock of its own; joins what is open

    `pending` counts who has joined, less BIAS while the job is closed: joining and seeing whether
    that was still in time are one atomic addition

If `busy` is taken (another Python thread is in a launch) the caller runs all units itself: the
same bits, and never a wait.  A launch takes 1 us when the workers spin, 12 us when they sleep.
Numba's own pools were no choice: its workqueue takes 53 us and aborts on concurrent use, omp kills
a child forked after use.

The number of threads is the smallest of: what `set_num_threads` said (else NUMBA_NUM_THREADS, else
the CPUs this process may use); what Numba's set_num_threads said in this thread, once Numba's
threading layer runs; and what the kernel has work for.  Workers start when first needed, so a
machine with one core never has any.  A forked child starts over with none.  Workers hold nothing
of Python and end with the process; so this file's code and state are never freed.

Start reading at TEXT, `@tj_pool_run`.  Used by launcher.py.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from ctypes import pythonapi

from tapejit.errors import ConfigError
from tapejit.locks import once
from tapejit.runtime.native import python_addresses

# ---------------------------------------------------------------- the state

MAX_THREADS = 256

_SPINS = 2000
_BIAS = 1 << 62
_FIRST_WORKER, _WORKER_BYTES = 512, 64

# Byte offsets; what different threads write has cache lines of its own.
_PLACES = {
    "fn": 0, "args": 8, "meta": 16, "units": 24, "chunk": 32, "helpers": 40,  # the job
    "next": 64,  # the first unit that nobody has taken
    "pending": 128,  # workers that joined, less BIAS while closed
    "generation": 192,  # launches so far: what workers watch
    "busy": 256,  # 1 while somebody launches
    "waiting": 320,  # 1 while the caller sleeps on `done`
    "started": 384, "limit": 392, "ask": 400, "done": 408,  # workers, threads, Numba's number, lock
}  # fmt: skip

# ---------------------------------------------------------------- the pool, in IR

# what a waiting loop tells the processor; intrinsics, since inline assembly needs a parser
_X86, _ARM = "@llvm.x86.sse2.pause()", "@llvm.aarch64.hint(i32 1)"
PAUSE = {"x86_64": _X86, "amd64": _X86, "aarch64": _ARM, "arm64": _ARM}

_TEXT = r"""
@tj_pool = external global i8
@tj_modules = external global i8
@tj_numba = external global i8
@tj_is_launched = external global i8
@tj_true = external global i8
declare i64 @PyThread_start_new_thread(ptr, ptr)
declare ptr @PyThread_allocate_lock()
declare i32 @PyThread_acquire_lock(ptr, i32)
declare void @PyThread_release_lock(ptr)
declare ptr @PyDict_GetItem(ptr, ptr)
declare ptr @PyObject_GetAttr(ptr, ptr)
declare void @Py_DecRef(ptr)
declare void @PyErr_Clear()
declare void @tj_found_numba()
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)

; Take chunks of units until there are none.
define internal void @work() nounwind {
  %fn = load ptr, ptr {fn}
  %args = load ptr, ptr {args}
  %meta = load ptr, ptr {meta}
  %units = load i64, ptr {units}
  %chunk = load i64, ptr {chunk}
  br label %look
look:
  %begin = atomicrmw add ptr {next}, i64 %chunk monotonic
  %is_left = icmp slt i64 %begin, %units
  br i1 %is_left, label %take, label %done
take:
  %behind = add i64 %begin, %chunk
  %end = call i64 @llvm.smin.i64(i64 %behind, i64 %units)
  call void %fn(ptr %args, ptr %meta, i64 %begin, i64 %end)
  br label %look
done:
  ret void
}

; A worker's life.  Its record: lock | 1 while it sleeps on the lock | its number.
define void @tj_worker(ptr %me) nounwind {
entry:
  %lock = load ptr, ptr %me
  %asleep = getelementptr i64, ptr %me, i64 1
  %number_at = getelementptr i64, ptr %me, i64 2
  %number = load i64, ptr %number_at
  br label %watch
watch:
  %seen = phi i64 [ 0, %entry ], [ %now, %leave ], [ %now, %last ], [ %now, %wake ]
  br label %spin
spin:
  %k = phi i64 [ 0, %watch ], [ %k_next, %pause ]
  %g = load atomic i64, ptr {generation} acquire, align 8
  %is_new = icmp ne i64 %g, %seen
  br i1 %is_new, label %join, label %pause
pause:
  call void PAUSE
  %k_next = add i64 %k, 1
  %is_early = icmp slt i64 %k_next, SPINS
  br i1 %is_early, label %spin, label %sleep
sleep:
  store atomic i64 1, ptr %asleep seq_cst, align 8
  %g_again = load atomic i64, ptr {generation} seq_cst, align 8
  %came = icmp ne i64 %g_again, %seen
  br i1 %came, label %stay, label %lie
stay:                                     ; unless a caller has promised to release the lock
  %promised = atomicrmw xchg ptr %asleep, i64 0 seq_cst
  %is_free = icmp eq i64 %promised, 1
  br i1 %is_free, label %join, label %lie
lie:
  %r = call i32 @PyThread_acquire_lock(ptr %lock, i32 1)
  br label %join
join:
  %now = load atomic i64, ptr {generation} acquire, align 8
  %before = atomicrmw add ptr {pending}, i64 1 acq_rel
  %is_open = icmp sge i64 %before, 0
  br i1 %is_open, label %joined, label %leave
joined:
  %helpers = load i64, ptr {helpers}
  %is_wanted = icmp slt i64 %number, %helpers
  br i1 %is_wanted, label %help, label %leave
help:
  call void @work()
  br label %leave
leave:
  %after = atomicrmw sub ptr {pending}, i64 1 acq_rel
  %is_last = icmp eq i64 %after, LAST
  br i1 %is_last, label %last, label %watch
last:
  %waits = atomicrmw xchg ptr {waiting}, i64 0 seq_cst
  %is_awaited = icmp eq i64 %waits, 1
  br i1 %is_awaited, label %wake, label %watch
wake:
  %done = load ptr, ptr {done}
  call void @PyThread_release_lock(ptr %done)
  br label %watch
}

; Start workers up to a number; how many there are then.  The caller has `busy`.
define internal i64 @grow(i64 %wanted) nounwind {
  br label %look
look:
  %n = load i64, ptr {started}
  %enough = icmp sge i64 %n, %wanted
  br i1 %enough, label %done, label %more
more:
  %lock = call ptr @PyThread_allocate_lock()
  %no_lock = icmp eq ptr %lock, null
  br i1 %no_lock, label %fail, label %prepare
prepare:
  %r = call i32 @PyThread_acquire_lock(ptr %lock, i32 1)
  %at = mul i64 %n, WORKER_BYTES
  %me = getelementptr i8, ptr {workers}, i64 %at
  store ptr %lock, ptr %me
  %asleep = getelementptr i64, ptr %me, i64 1
  store i64 0, ptr %asleep
  %number = getelementptr i64, ptr %me, i64 2
  store i64 %n, ptr %number
  %thread = call i64 @PyThread_start_new_thread(ptr @tj_worker, ptr %me)
  %id = trunc i64 %thread to i32
  %no_thread = icmp eq i32 %id, -1
  br i1 %no_thread, label %fail, label %next
next:
  %n_next = add i64 %n, 1
  store i64 %n_next, ptr {started}
  br label %look
fail:                                     ; no more threads to be had: be content with these
  %all = add i64 %n, 1
  store i64 %all, ptr {limit}
  br label %done
done:
  %now = load i64, ptr {started}
  %useful = call i64 @llvm.smin.i64(i64 %now, i64 %wanted)
  ret i64 %useful
}

; Run `fn` over all units with some threads.  Chunks are whole numbers of `atom` units, `grain`
; atoms or more, eight to a thread if there are that many.
define internal void @tj_pool_run(ptr %fn, ptr %args, ptr %meta, i64 %units, i64 %atom,
                                  i64 %grain, i64 %threads) nounwind {
  %alone = icmp sle i64 %threads, 1
  br i1 %alone, label %serial, label %ask
ask:
  %taken = atomicrmw xchg ptr {busy}, i64 1 acquire
  %is_taken = icmp eq i64 %taken, 1
  br i1 %is_taken, label %serial, label %state
serial:
  call void %fn(ptr %args, ptr %meta, i64 0, i64 %units)
  ret void
state:
  %others = sub i64 %threads, 1
  %helpers = call i64 @grow(i64 %others)
  %atoms = udiv i64 %units, %atom
  %parts = mul i64 %threads, 8
  %share = udiv i64 %atoms, %parts
  %whole = call i64 @llvm.smax.i64(i64 %share, i64 %grain)
  %chunk = mul i64 %whole, %atom
  store ptr %fn, ptr {fn}
  store ptr %args, ptr {args}
  store ptr %meta, ptr {meta}
  store i64 %units, ptr {units}
  store i64 %chunk, ptr {chunk}
  store i64 %helpers, ptr {helpers}
  store i64 0, ptr {next}
  %p = atomicrmw add ptr {pending}, i64 BIAS acq_rel
  %g = atomicrmw add ptr {generation}, i64 1 seq_cst
  br label %call
call:
  %i = phi i64 [ 0, %state ], [ %i_next, %called ]
  %is_one = icmp slt i64 %i, %helpers
  br i1 %is_one, label %look, label %begin
look:
  %at = mul i64 %i, WORKER_BYTES
  %worker = getelementptr i8, ptr {workers}, i64 %at
  %asleep = getelementptr i64, ptr %worker, i64 1
  %slept = atomicrmw xchg ptr %asleep, i64 0 seq_cst
  %is_asleep = icmp eq i64 %slept, 1
  br i1 %is_asleep, label %wake, label %called
wake:
  %lock = load ptr, ptr %worker
  call void @PyThread_release_lock(ptr %lock)
  br label %called
called:
  %i_next = add i64 %i, 1
  br label %call
begin:
  call void @work()
  %closed = atomicrmw sub ptr {pending}, i64 BIAS acq_rel
  br label %wait
wait:
  %k = phi i64 [ 0, %begin ], [ %k_next, %pause ], [ 0, %slept_on ]
  %left = load atomic i64, ptr {pending} acquire, align 8
  %is_done = icmp eq i64 %left, CLOSED
  br i1 %is_done, label %done, label %pause
pause:
  call void PAUSE
  %k_next = add i64 %k, 1
  %is_early = icmp slt i64 %k_next, SPINS
  br i1 %is_early, label %wait, label %sleep
sleep:
  store atomic i64 1, ptr {waiting} seq_cst, align 8
  %left_again = load atomic i64, ptr {pending} seq_cst, align 8
  %came = icmp eq i64 %left_again, CLOSED
  br i1 %came, label %stay, label %slept_on
stay:
  %promised = atomicrmw xchg ptr {waiting}, i64 0 seq_cst
  %is_free = icmp eq i64 %promised, 1
  br i1 %is_free, label %done, label %slept_on
slept_on:
  %done_lock = load ptr, ptr {done}
  %r = call i32 @PyThread_acquire_lock(ptr %done_lock, i32 1)
  br label %wait
done:
  store atomic i64 0, ptr {busy} release, align 8
  ret void
}

; How many threads a kernel that could use `useful` gets.  The caller holds the GIL.
define i64 @tj_threads(i64 %useful) nounwind {
  %limit = load i64, ptr {limit}
  %most = call i64 @llvm.smin.i64(i64 %limit, i64 %useful)
  %alone = icmp sle i64 %most, 1
  br i1 %alone, label %free, label %several
several:
  %known = load ptr, ptr {ask}
  %is_known = icmp ne ptr %known, null
  br i1 %is_known, label %ask, label %search
search:                                   ; has Numba's threading layer been launched by now?
  %module = call ptr @PyDict_GetItem(ptr @tj_modules, ptr @tj_numba)
  %no_module = icmp eq ptr %module, null
  br i1 %no_module, label %free, label %has
has:
  %is_launched = call ptr @PyObject_GetAttr(ptr %module, ptr @tj_is_launched)
  %no_answer = icmp eq ptr %is_launched, null
  br i1 %no_answer, label %clear, label %compare
clear:
  call void @PyErr_Clear()
  br label %free
compare:
  call void @Py_DecRef(ptr %is_launched)
  %is_true = icmp eq ptr %is_launched, @tj_true
  br i1 %is_true, label %find, label %free
find:
  call void @tj_found_numba()
  %found = load ptr, ptr {ask}
  %is_found = icmp ne ptr %found, null
  br i1 %is_found, label %ask, label %free
ask:
  %function = phi ptr [ %known, %several ], [ %found, %find ]
  %said = call i32 %function()
  %number = sext i32 %said to i64
  %positive = call i64 @llvm.smax.i64(i64 %number, i64 1)
  %fewer = call i64 @llvm.smin.i64(i64 %positive, i64 %most)
  ret i64 %fewer
free:
  ret i64 %most
}
"""


def text() -> str:
    """IR that defines @tj_pool_run and @tj_threads; a module with it needs `imports()`."""
    filled = _TEXT
    for name, place in {**_PLACES, "workers": _FIRST_WORKER}.items():
        filled = filled.replace(f"{{{name}}}", f"getelementptr (i8, ptr @tj_pool, i64 {place})")
    words = {
        "PAUSE": PAUSE.get(platform.machine().lower(), "@llvm.donothing()"),
        "SPINS": _SPINS,
        "LAST": 1 - _BIAS,
        "CLOSED": -_BIAS,
        "BIAS": _BIAS,
        "WORKER_BYTES": _WORKER_BYTES,
    }
    for word, value in words.items():
        filled = filled.replace(word, str(value))
    return filled


# ---------------------------------------------------------------- the pool, in Python


class _State:
    """The memory that the pool's code works on.  Never freed: workers outlive everything."""

    def __init__(self):
        n_bytes = _FIRST_WORKER + _WORKER_BYTES * MAX_THREADS
        allocate = pythonapi.PyMem_RawCalloc
        allocate.restype, allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t] * 2
        memory = allocate(1, n_bytes + 64)
        if memory is None:
            raise MemoryError
        self.address = (memory + 63) & ~63
        self["limit"] = default_num_threads()
        self.forget_workers()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget_workers)

    def __getitem__(self, name: str) -> int:
        return ctypes.c_int64.from_address(self.address + _PLACES[name]).value

    def __setitem__(self, name: str, value: int):
        ctypes.c_int64.from_address(self.address + _PLACES[name]).value = value

    def forget_workers(self):
        """No workers, no launch under way: the first state, and that of a forked child.

        Another thread of the parent may have been anywhere in a launch when the child was born.
        """
        allocate, acquire = pythonapi.PyThread_allocate_lock, pythonapi.PyThread_acquire_lock
        allocate.restype, acquire.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]
        done = allocate()
        if done is None:
            raise MemoryError
        acquire(done, 1)
        fresh = {"started": 0, "generation": 0, "busy": 0, "waiting": 0}
        for name, value in {**fresh, "pending": -_BIAS, "done": done}.items():
            self[name] = value


@once
def _state() -> _State:
    return _State()


def default_num_threads() -> int:
    """Numba's own rule: NUMBA_NUM_THREADS, else the CPUs that this process may use."""
    numba = sys.modules.get("numba")
    config = getattr(numba, "config", None)
    wanted = getattr(config, "NUMBA_NUM_THREADS", None)
    if wanted is None:
        given = os.environ.get("NUMBA_NUM_THREADS", "")
        wanted = int(given) if given.strip().isdecimal() else 0
    if not wanted:
        is_told = hasattr(os, "sched_getaffinity")
        wanted = len(os.sched_getaffinity(0)) if is_told else os.cpu_count() or 1
    return max(1, min(int(wanted), MAX_THREADS))


_PARALLEL = "numba.np.ufunc.parallel"


def _numba_layer():
    """Numba's module that runs its threads, if they have been launched."""
    module = sys.modules.get(_PARALLEL)
    return module if getattr(module, "_is_initialized", False) else None


@ctypes.PYFUNCTYPE(None)
def _found_numba():
    """Note where Numba tells its number of threads (per Python thread, 2 ns): called once."""
    ask = getattr(_numba_layer(), "_get_num_threads", None)
    if ask is not None:
        _KEPT.append(ask)
        _state()["ask"] = ctypes.cast(ask, ctypes.c_void_p).value or 0


_KEPT = [_PARALLEL, "_is_initialized"]  # objects that the IR knows by address


def imports() -> dict[str, int]:
    """Addresses that `text()` needs."""
    return {
        "tj_pool": _state().address,
        "tj_modules": id(sys.modules),
        "tj_numba": id(_KEPT[0]),
        "tj_is_launched": id(_KEPT[1]),
        "tj_true": id(True),
        "tj_found_numba": ctypes.cast(_found_numba, ctypes.c_void_p).value or 0,
    } | python_addresses(
        "PyThread_start_new_thread", "PyThread_allocate_lock", "PyThread_acquire_lock",
        "PyThread_release_lock", "PyDict_GetItem", "PyObject_GetAttr", "Py_DecRef", "PyErr_Clear",
    )  # fmt: skip


# ---------------------------------------------------------------- for people


def set_num_threads(n: int) -> None:
    """Let long kernels use up to `n` threads, in the whole process; results stay the same bits.

    At first it is what Numba would use: NUMBA_NUM_THREADS, else the CPUs of this process.
    Numba's own set_num_threads limits the Python thread that calls it besides.

    Errors  ConfigError, a ValueError, if n is not a whole number from 1 to 256
    Like    torch.set_num_threads

    >>> import tapejit as tj
    >>> before = tj.get_num_threads()
    >>> tj.set_num_threads(1)
    >>> tj.get_num_threads()
    1
    >>> tj.set_num_threads(before)
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MAX_THREADS:
        raise ConfigError(f"set_num_threads: a number from 1 to {MAX_THREADS} needed, got {n!r}")
    _state()["limit"] = n


def get_num_threads() -> int:
    """How many threads a long kernel may use when this Python thread launches it.

    Like  torch.get_num_threads

    >>> import tapejit as tj
    >>> tj.get_num_threads() >= 1
    True
    """
    limit, numba = _state()["limit"], _numba_layer()
    return limit if numba is None else min(limit, max(numba._get_num_threads(), 1))
