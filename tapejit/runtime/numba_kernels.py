"""Loop kernels through Numba: the text that people read, compiled for the machine's interface.

The one idea: Numba is a front end only.  It turns each function of codegen/loop_text.py into LLVM
IR; from there on the way is that of our own IR (native.py): compiled to object bytes, kept in our
cache, loaded from there, given back when dropped.  Nothing of Numba's executable memory (which is
never freed), nor of its disk cache, is used, and a process that finds its kernels on disk imports
no Numba at all.

    text       def kernel(args, meta, begin, end): …          loop_text.py
    Numba      i32 @mangled(retptr, excinfo, x0, y0, …, meta, begin, end)
    entry      void @kernel(args, meta, begin, end)           plan.py; `_entry` prints it

`args` is a tuple of typed pointers there, so `x0[i]` is one load, with no array record, reference
count or negative index behind it.  NAME, NAME_start and NAME_finish are compiled one by one: the
latter two depend on the reductions only, and many kernels share them.

Start at `compile_functions`; `dispatcher` is the same text for callers that are @njit themselves.

Sources: numba/core/compiler.py, whose compile_extra takes a library of one's own, and codegen.py;
Numba's CUDA target also lowers without compiling.  A Numba that has no such door is asked for the
IR of an ordinary @njit function (`_lower_publicly`): twice the time, 1 MiB a kernel.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import sys
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any

from tapejit import config
from tapejit.cache import shared_store
from tapejit.codegen import scalar_math, scalar_special
from tapejit.codegen.loop_text import Function, emit_source, emit_text
from tapejit.errors import KernelError
from tapejit.plan import LoopKernel, RowKernel
from tapejit.runtime import native
from tapejit.runtime.sources import namespace

FORMAT = 1
"""Enters every key: bump it when this file compiles the same text differently."""

LOOP = "kernel"
"""What the text calls the loop; start and finish are LOOP_start and LOOP_finish."""

_NUMBA = {"f64": "float64", "f32": "float32", "i64": "int64", "i32": "int32", "bool": "uint8"}
"""Numbers in memory.  A pointer to Numba's own boolean stores a byte where it reads a bit."""
_LOADED: weakref.WeakValueDictionary[str, native.NativeLibrary] = weakref.WeakValueDictionary()

OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "fastmath": False}
"""NumPy's division by zero; no fast-math, so + - * / sqrt have NumPy's bits."""

_FLAGS = {
    "error_model": OPTIONS["error_model"],
    "no_compile": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "no_rewrites": True,  # they look for array expressions and constant exponents: 7 ms
}

# ---------------------------------------------------------------- operations


def compile_functions(kernel: LoopKernel | RowKernel) -> dict[str, native.NativeLibrary]:
    """The functions of a kernel by name ("kernel", "kernel_start"…), each exported by its library.

    Errors  KernelError if Numba is not there or refuses the text
    """
    text = emit_text(kernel, LOOP)
    return {function.name: _library(function, text.source) for function in text.functions}


def dispatcher(kernel: LoopKernel | RowKernel, name: str = LOOP) -> Callable:
    """A function of the kernel's text as @njit has it, to be called from other @njit functions.

    `args` is a tuple of flat arrays, `meta` an int64 array (plan.py).  Numba compiles it for its
    caller, in whose cache and memory it then is.
    """
    return numba_module().njit(**OPTIONS)(_scope(emit_source(kernel, LOOP))[name])


# ---------------------------------------------------------------- one function


def _library(function: Function, source: str) -> native.NativeLibrary:
    """The machine code of one function: in this process, on disk, else compiled."""
    key = _key(function)
    library = _LOADED.get(key)
    if library is None:
        library = _LOADED[key] = _from_disk(key, function) or _compile(key, function, source)
    return library


def _key(function):
    """Name of the machine code: the hash of all that it depends on."""
    versions = (FORMAT, numba_version(), _helpers_digest(), tuple(native.host()))
    text = repr((versions, function.dtypes, function.text))
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def _helpers_digest():
    sources = inspect.getsource(scalar_math) + inspect.getsource(scalar_special)
    return hashlib.sha256(sources.encode()).hexdigest()


def _from_disk(key, function):
    kept = shared_store().get(key)
    if kept is None:
        return None
    try:
        return native.load(kept, (function.name,))
    except KernelError:  # a symbol that is gone: compile, and say what is wrong then
        return None


def _compile(key, function, source):
    llvm, symbol = lower(_scope(source)[function.name], _signature(function))
    text = llvm + _entry(function.name, len(function.dtypes), symbol, function.name == LOOP)
    if config.settings.debug >= 5:
        print(text, file=sys.stderr)
    code = native.compile_object(text, tier=1)
    imports = _numba_addresses(llvm)
    library = native.load(code, (function.name,), imports)
    # What holds an address of this process, or asks Numba for one, is of no use to another.
    if not imports and b"numba.dynamic.globals" not in code:
        shared_store().put_later(key, code)
    return library


def _entry(name: str, n_args: int, symbol: str, has_units: bool) -> str:
    """The machine's interface around Numba's: takes `args` apart and drops the status, which is
    that of exceptions, and the text raises none."""
    loads = "".join(
        f"%p{k} = getelementptr ptr, ptr %args, i64 {k}\n%a{k} = load ptr, ptr %p{k}\n"
        for k in range(n_args)
    )
    operands = [f"ptr %a{k}" for k in range(n_args)]
    units = ", i64 %begin, i64 %end" if has_units else ""
    return (
        f"\ndefine void @{name}(ptr %args, ptr %meta{units}) nounwind {{\n{loads}"
        "%ret = alloca ptr\n%exception = alloca ptr\n"
        f"%status = call i32 @{symbol}(ptr %ret, ptr %exception, {', '.join(operands)}, ptr %meta"
        f"{units})\nret void\n}}\n"
    )


def _numba_addresses(llvm: str) -> dict[str, int]:
    """Addresses of what only Numba knows of all that the code declares: on some systems, none."""
    from llvmlite.binding import address_of_symbol

    found = {}
    for line in llvm.splitlines():
        if line.startswith("declare ") and "@numba" in line:
            name = line.split("@", 1)[1].split("(", 1)[0].strip('"')
            address = address_of_symbol(name)
            if address:
                found[name] = address
    return found


# ---------------------------------------------------------------- Numba


@functools.cache
def numba_module() -> Any:
    """110 to 240 ms, so only when there is something to compile."""
    try:
        import numba
    except ImportError as error:
        raise KernelError(f"numba: cannot be used: {error}") from error
    return numba


@functools.cache
def numba_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("numba")
    except PackageNotFoundError as error:
        raise KernelError(f"numba: cannot be used: {error}") from error


def _scope(source):
    """The text's functions, with what Numba knows in the place of those of scalar_math.py."""
    scope = namespace(source)
    for name, value in scope.items():
        if getattr(value, "__module__", "") in _HELPERS:
            scope[name] = _helper(value)
    return scope


_HELPERS = (scalar_math.__name__, scalar_special.__name__)


@functools.cache
def _helper(function):
    """A function of scalar_math.py or scalar_special.py for Numba, with those that it calls."""
    name, known = function.__name__, function.__globals__
    if name in scalar_math.GUARDED:
        return getattr(math, name)
    called = {
        other: _helper(known[other])
        for other in function.__code__.co_names  # attributes of `math` too, so not itself
        if other != name and getattr(known.get(other), "__module__", "") in _HELPERS
    }
    options = OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # half the time
    scope = FunctionType(function.__code__, known | called, name)
    return numba_module().njit(**options)(scope)


def _signature(function):
    """Numba's types of the parameters; what a function does not touch counts as float64."""
    types = numba_module().types
    pointers = [types.CPointer(getattr(types, _NUMBA[dtype or "f64"])) for dtype in function.dtypes]
    units = [types.int64] * 2 if function.name == LOOP else []
    return (types.Tuple(pointers), types.CPointer(types.int64), *units)


def lower(pyfunc: Callable, signature: tuple) -> tuple[str, str]:
    """LLVM IR of a function and the symbol that it has there.

    Errors  KernelError with the first lines of what Numba said
    """
    numba = numba_module()
    for lowered_by in (_lower_only, _lower_publicly):
        try:
            return lowered_by(pyfunc, signature)
        except numba.core.errors.NumbaError as error:
            failure = error
            break  # it understood, and refuses
        except Exception as error:  # its internals have moved, or broke
            failure = error
    said = "\n  ".join(str(failure).splitlines()[:4])
    raise KernelError(f"numba {numba.__version__}: {type(failure).__name__}: {said}") from failure


def _lower_only(pyfunc, signature):
    """Through the front end alone: 35 ms, where @njit takes 100 with two rounds of O3."""
    from numba.core import compiler, registry, types
    from numba.core.compiler_lock import global_compiler_lock

    target: Any = registry.cpu_target
    flags = compiler.Flags()
    for name, value in _FLAGS.items():
        setattr(flags, name, value)
    with global_compiler_lock:
        target.target_context.refresh()
        target.typing_context.refresh()
        module = _module_class()(target.target_context.codegen(), pyfunc.__name__)
        result = compiler.compile_extra(
            target.typing_context, target.target_context, pyfunc, signature, types.none,
            flags, {}, library=module,
        )  # fmt: skip
        module.finalize()
        return module.get_llvm_str(), result.fndesc.llvm_func_name


@functools.cache
def _module_class():
    from numba.core.codegen import CPUCodeLibrary

    class Module(CPUCodeLibrary):
        """A library that collects IR, and what it links to; it compiles nothing."""

        def add_llvm_module(self, ll_module):
            self._final_module.link_in(ll_module)

        def finalize(self):
            for library in dict.fromkeys(self._linking_libraries):
                self._final_module.link_in(library._get_module_for_linking(), preserve=True)
            self._finalized = True

        def _finalize_specific(self):
            pass

    return Module


def _lower_publicly(pyfunc, signature):
    """Through an ordinary compile, of which only the text is kept."""
    function = numba_module().njit(signature, **OPTIONS)(pyfunc)
    text = function.inspect_llvm(function.signatures[0])
    names = [
        line.split("@", 1)[1].split("(", 1)[0]
        for line in text.splitlines()
        if line.startswith("define") and " i32 @" in line and pyfunc.__name__ in line
    ]
    return text, names[0]
