"""LLVM in one place: IR text in, machine code in memory out, and back out of memory when dropped.

The one idea: machine code is plain bytes (an object file) until `load` links it.  So it can be
kept on disk, checked, shared by processes and thrown away; no LLVM object outlives a compile.

Start reading at `compile_cached`, the door the rest of the house uses; `compile_object` and
`load` are its two halves.

Settings, each from a measurement:
  tier 0   no passes, codegen 0: 0.7 ms for 10 operations.  Tier 1: the O1 passes, codegen 1.
           Both give the same bits, because the IR says `llvm.fma` itself and never `contract`.
  tier 2   variables to registers, then codegen 0: for the printed functions of `codegen.words`,
           36 ms where tier 1 takes 430, and code that is a third slower.
  tier 3   O3 with LLVM's vectoriser and unrolling: loops written by hand (ops/loops), which have
           no vectors in them.
  tier 4   O2 with the vectoriser, for loops around calls that take the time: a convolution's 200
           ms where tier 3 takes 400, and the code is as fast.
  pic      with JITLink.  Without it a symbol more than 2 GiB away, or a table read with a variable
           index, makes LLVM *abort the process* (an assertion in RuntimeDyld); with it, an error.
  256      libraries per LLJIT.  LLVM keeps about 10 KiB of every library ever linked until its
           LLJIT dies; starting a new one now and then makes memory flat (measured over 1024).

It does not know what a kernel is, and it cannot save a caller from IR that LLVM accepts but that
is wrong.  Numba is never imported.  Departs from llvmlite's own examples in all three settings.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import os
import sys
import threading
from collections.abc import Callable
from typing import NamedTuple

from tapejit.cache import ObjectStore, shared_store
from tapejit.config import settings
from tapejit.errors import KernelError
from tapejit.locks import once

FORMAT = 1
"""Enters every content key: bump it when this file compiles the same text differently."""

LIBRARIES_PER_JIT = 256

_BACKGROUND = threading.RLock()
"""Held while a background compile is in LLVM without llvmlite's lock, so that fork waits for it."""

_LOCK = threading.RLock()
"""Held while a library is linked.  Each call into LLVM takes llvmlite's own lock besides, which is
all that compiling needs: nothing of it is shared."""


class Host(NamedTuple):
    """What machine code depends on besides its IR text."""

    llvmlite: str
    llvm: tuple
    triple: str
    cpu: str
    features: str

    @property
    def has_fma(self) -> bool:
        """Whether `llvm.fma` is an instruction; only on x86 it may be a call of libm instead."""
        is_x86 = self.triple.startswith(("x86_64", "amd64"))
        return not is_x86 or "+fma" in self.features.split(",")


class NativeLibrary:
    """Loaded machine code.  It is given back when the last reference to this object goes.

    An address is valid as long as this object lives: keep it wherever an address escapes to.
    """

    __slots__ = ("__weakref__", "_jit", "_tracker", "exports")

    def __init__(self, tracker, jit, exports):
        self._tracker = tracker
        self._jit = jit  # llvmlite's tracker does not keep its LLJIT alive
        self.exports = exports

    def address(self, symbol: str) -> int:
        """Where an exported function starts, as a C pointer."""
        if symbol not in self.exports:
            raise KernelError(f"library: no export {symbol!r}; it has {', '.join(self.exports)}")
        return self._tracker[symbol]

    def __del__(self, is_finalizing=sys.is_finalizing):
        # Before its LLJIT, which without this might be dropped first.  Not under _LOCK: garbage
        # collection may come here in a thread that holds llvmlite's own lock, while another
        # holds _LOCK and waits for that one.
        if not is_finalizing():
            self._tracker.close()


# ---------------------------------------------------------------- the host


@once
def _llvm():
    """llvmlite.binding, ready for the machine we run on.  28 to 50 ms, so only when needed."""
    try:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        _hold_locks_at_fork(llvm.ffi)
    except (ImportError, OSError, RuntimeError) as error:
        raise KernelError(f"llvmlite: cannot be used: {_first_lines(error)}") from error
    return llvm


def _hold_locks_at_fork(ffi):
    """Let no child be born while another thread is inside LLVM: its locks would stay taken.

    llvmlite's lock has no public door that would do (its callbacks run after it is taken), and
    every disposal of an LLVM object takes it, at any time.  Without this, tests/test_native.py
    forks during a compile and the child waits for ever.  Needless once llvmlite does it itself.
    """
    inner = getattr(ffi.lib, "_lock", None)
    locks = [_BACKGROUND, _LOCK] if inner is None else [_BACKGROUND, _LOCK, inner]

    def take():
        for lock in locks:
            lock.__enter__()

    def release():
        for lock in reversed(locks):
            lock.__exit__(None, None, None)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=take, after_in_parent=release, after_in_child=release)


@once
def host() -> Host:
    """The versions and the processor that compiled code belongs to."""
    import llvmlite

    llvm = _llvm()
    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # LLVM cannot tell on some platforms: plain code for the CPU's name
        features = ""
    return Host(
        llvmlite.__version__,
        tuple(llvm.llvm_version_info),
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        features,
    )


@functools.cache
def machine(target: Host, tier: int):
    """The target machine of a tier, for this host or another."""
    llvm = _llvm()
    with _LOCK:
        if target != host():
            llvm.initialize_all_targets()
            llvm.initialize_all_asmprinters()
        return llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.cpu,
            features=target.features,
            opt={1: 1, 3: 2, 4: 2}.get(tier, 0),
            reloc="pic",
            codemodel="small",
        )


# ---------------------------------------------------------------- text to object


def compile_object(
    ir_text: str, tier: int = 0, is_trusted: bool = False, target: Host | None = None
) -> bytes:
    """Compile LLVM IR text to the bytes of an object file; a trusted text is not verified.

    `target` is the machine it is for, if not this one.

    Errors  KernelError with the first lines of what LLVM said
    """
    assert tier in (0, 1, 2, 3, 4), tier
    llvm, to = _llvm(), machine(target or host(), tier)
    try:
        # A context of its own: LLVM never frees constants and types of the global one.
        module = llvm.parse_assembly(ir_text, llvm.create_context())
        with module:
            if not is_trusted or settings.check:  # 0.1 ms; the emitters' tests verify
                module.verify()
            if tier in (1, 3, 4):
                _optimise(module, _pass_builder(to, tier))
            elif tier == 2:
                _promote(module, to)
            return to.emit_object(module)
    except RuntimeError as error:
        raise KernelError(f"LLVM refused the IR: {_first_lines(error)}") from error


def one_function(ir_text: str, export: str) -> str:
    """The text as LLVM's passes leave it: one function, and what it needs under names beside its.

    Errors  KernelError with the first lines of what LLVM said
    """
    llvm, to = _llvm(), machine(host(), 3)
    try:
        with llvm.parse_assembly(ir_text, llvm.create_context()) as module:
            module.verify()
            for value in _defined(module, export):
                value.linkage = "internal"
            _optimise(module, _pass_builder(to, 3))
            for number, value in enumerate(_defined(module, export)):
                value.name = f"{export}.{number}"
            return str(module)
    except RuntimeError as error:
        raise KernelError(f"LLVM refused the IR: {_first_lines(error)}") from error


def _defined(module, export):
    """What a module defines besides its export."""
    values = [*module.functions, *module.global_variables]
    return [value for value in values if not value.is_declaration and value.name != export]


def _compile_trusted(ir_text, tier):
    return compile_object(ir_text, tier, is_trusted=True)


def _pass_builder(to, tier=1):
    """Tier 1: the IR has explicit vectors, so vectorisers and unrolling only cost."""
    llvm = _llvm()
    options = llvm.create_pipeline_tuning_options(speed_level={1: 1, 3: 3, 4: 2}[tier])
    options.loop_vectorization, options.loop_unrolling = tier != 1, tier == 3
    options.slp_vectorization = False
    return llvm.create_pass_builder(to, options)


def _optimise(module, builder):
    builder.getModulePassManager().run(module, builder)


def _promote(module, to):
    """Variables in registers and straight branches, no more."""
    llvm = _llvm()
    builder = llvm.create_pass_builder(to, llvm.create_pipeline_tuning_options(speed_level=1))
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, builder)


@once
def _background_machine():
    """Tier 1's target machine for the one thread that compiles in the background."""
    return machine.__wrapped__(host(), 1)


def _compile_unlocked(ir_text):
    """`compile_object` at tier 1 for a thread that nobody should wait for.

    llvmlite locks every call; a compile in the foreground would wait 100 ms for this one.  LLVM
    itself needs no lock between contexts: nothing here is shared, the target machine included.
    So the two long calls go past the lock, where llvmlite has them as in 0.50; else under it.
    """
    llvm, to = _llvm(), _background_machine()
    lib = llvm.ffi.lib
    names = ("LLVMPY_RunNewModulePassManager", "LLVMPY_TargetMachineEmitToMemory")
    run, emit = (getattr(getattr(lib, name, None), "_cfn", None) for name in names)
    if run is None or emit is None:
        return compile_object(ir_text, 1)
    try:
        with llvm.parse_assembly(ir_text, llvm.create_context()) as module:
            if settings.check:
                module.verify()
            builder = _pass_builder(to)
            passes = builder.getModulePassManager()
            with llvm.ffi.OutputString() as message:
                with _BACKGROUND:
                    run(passes, module, builder)
                    buffer = emit(to, module, 1, message)
                if not buffer:
                    raise RuntimeError(str(message))
            try:
                start, size = lib.LLVMPY_GetBufferStart(buffer), lib.LLVMPY_GetBufferSize(buffer)
                return ctypes.string_at(start, size)
            finally:
                lib.LLVMPY_DisposeMemoryBuffer(buffer)
    except RuntimeError as error:
        raise KernelError(f"LLVM refused the IR: {_first_lines(error)}") from error


def _first_lines(error: Exception, count: int = 4) -> str:
    """The start of LLVM's message: the whole of it may repeat the module."""
    lines = [line.rstrip() for line in str(error).splitlines() if line.strip()]
    return "\n  ".join(line[:300] for line in lines[:count])


# ---------------------------------------------------------------- object to memory


class _Linker:
    """Hands out LLJITs, each for a limited number of libraries, and names that never repeat."""

    def __init__(self):
        self._count = itertools.count()
        self._jit = None

    def next(self):
        """An LLJIT with room for one more library, and the library's name.  Under the lock."""
        number = next(self._count)
        if number % LIBRARIES_PER_JIT == 0:
            # The old one lives on until the last of its libraries is dropped.
            self._jit = _llvm().create_lljit_compiler(
                machine(host(), 0), use_jit_link=True, suppress_errors=True
            )
        return self._jit, f"tapejit{number}"


_LINKER = _Linker()


def load(
    object_bytes: bytes, exports: tuple[str, ...], imports: dict[str, int] | None = None
) -> NativeLibrary:
    """Link an object file into the process.

    `imports` gives the addresses of symbols that the code uses; whatever is not among them is
    looked for in the process (libm, libpython).

    Errors  KernelError if the bytes are no object file, or a symbol is missing
    """
    llvm = _llvm()
    builder = llvm.JITLibraryBuilder().add_object_img(object_bytes).add_current_process()
    if host().triple.endswith("-msvc"):  # a mark of code with floats, which no library exports
        builder.import_symbol("_fltused", 0)
    for name, address in (imports or {}).items():
        builder.import_symbol(name, address)
    for name in exports:
        builder.export_symbol(name)
    with _LOCK:
        jit, name = _LINKER.next()
        try:
            return NativeLibrary(builder.link(jit, name), jit, tuple(exports))
        except RuntimeError as error:
            raise KernelError(f"LLVM could not link: {_first_lines(error)}") from error


def python_addresses(*names: str) -> dict[str, int]:
    """Where functions of CPython's C API start: imports that every process has."""
    functions = ((name, getattr(ctypes.pythonapi, name)) for name in names)
    return {name: ctypes.cast(f, ctypes.c_void_p).value or 0 for name, f in functions}


# ---------------------------------------------------------------- through disk


def content_key(ir_text: str, tier: int = 0) -> str:
    """Name of compiled code: the hash of everything it depends on."""
    head = repr((FORMAT, tier, tuple(host()))).encode()
    return hashlib.sha256(head + b"\0" + ir_text.encode()).hexdigest()


def load_cached(
    ir_text: str,
    exports: tuple[str, ...],
    imports: dict[str, int] | None = None,
    tier: int = 0,
    store: ObjectStore | None = None,
) -> NativeLibrary | None:
    """The code of an IR text if it is on disk: in the process's store, unless another is given."""
    kept = (store or shared_store()).get(content_key(ir_text, tier))
    if kept is not None:
        try:
            return load(kept, exports, imports)
        except KernelError:
            pass  # an object from elsewhere, or a symbol gone: compile, and say what is wrong then
    return None


def compile_cached(
    ir_text: str | Callable[[], str],
    exports: tuple[str, ...],
    imports: dict[str, int] | None = None,
    tier: int = 0,
    store: ObjectStore | None = None,
    *,
    is_urgent: bool = False,
    source: str = "",
) -> NativeLibrary:
    """Load the code of an IR text, from disk if it is there, else compiled and put there.

    A text that takes long to print may be a function: it is called where the disk has nothing for
    `source`, which is all that the text depends on.

    `store` is the process's shared store unless another is given.  What is urgent is written to it
    a little later, and its text trusted.
    """
    store = shared_store() if store is None else store
    assert isinstance(ir_text, str) or source, "a text not printed yet needs its source"
    known_by = ir_text if isinstance(ir_text, str) else source
    library = load_cached(known_by, exports, imports, tier, store)
    if library is None:
        compiler = _compile_trusted if is_urgent else compile_object
        fresh = compiler(ir_text if isinstance(ir_text, str) else ir_text(), tier)
        library = load(fresh, exports, imports)
        (store.put_later if is_urgent else store.put)(content_key(known_by, tier), fresh)
    return library


def compile_in_background(
    ir_text: str, exports: tuple[str, ...], imports: dict[str, int] | None = None
) -> NativeLibrary:
    """`compile_cached` at tier 1, in a way that makes no other thread wait; one at a time."""
    library = load_cached(ir_text, exports, imports, 1)
    if library is None:
        fresh = _compile_unlocked(ir_text)
        library = load(fresh, exports, imports)
        shared_store().put(content_key(ir_text, 1), fresh)
    return library
