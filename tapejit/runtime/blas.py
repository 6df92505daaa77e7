"""The BLAS that NumPy brings, called without Python: matrix products as loops of plans.

NumPy's extension module links a BLAS; its CBLAS functions are found through that module's handle,
by the names that NumPy's builds give them.  The products of a plan (blas_code.py), and loops that
multiply matrices, call them natively: so the eager and the compiled product are the same code, and
one library's threads are at work.  Where nothing is found, NumPy computes products.

Threads: a single product is BLAS's own, with its own threads.  Products of a batch are shared
between our threads, and BLAS keeps to one meanwhile (`single`, `restore`); where it cannot be told
so, they run one after the other.

    cell             the cell of a native loop
    tile_library     what loops in Python call: tiles of products in registers (codegen/tiles.py)

Start at `cell`.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import os
import sys

import numpy as np

from tapejit.codegen import tiles, words
from tapejit.errors import KernelError
from tapejit.locks import once
from tapejit.runtime import blas_code, native
from tapejit.runtime.cells import Cell

_NAMES = (("scipy_cblas_{}64_", 64), ("cblas_{}64_", 64), ("cblas_{}", 32))
"""What builds call the CBLAS functions, with the width of their integers."""

_THREADS = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)

LOOPS = ("products", "dots", "blocks")
"""The native loops."""

TILES = ("product_tile", "dot_tile", "dot_one")
"""The functions of ops/loops/tiles.py that loops call."""

CALLING = ("products",)
"""Those that call BLAS."""

_TYPES = {"f32": ("float", "s"), "f64": ("double", "d")}

# ---------------------------------------------------------------- text

_WRAPPERS = """
declare void @cblas_gemm(i32, i32, i32, INT, INT, INT, REAL, ptr, INT, ptr, INT, REAL, ptr, INT)
declare void @cblas_gemv(i32, i32, INT, INT, REAL, ptr, INT, ptr, INT, REAL, ptr, INT)

define void @gemm(i64 %tx, i64 %ty, i64 %m, i64 %n, i64 %k, ptr %x, i64 %xa, i64 %xs,
                  ptr %y, i64 %ya, i64 %ys, ptr %z, i64 %za, i64 %zs, i64 %adds) nounwind {
  %px = getelementptr REAL, ptr %x, i64 %xa
  %py = getelementptr REAL, ptr %y, i64 %ya
  %pz = getelementptr REAL, ptr %z, i64 %za
  %tx32 = trunc i64 %tx to i32
  %ty32 = trunc i64 %ty to i32
  %how_x = add i32 %tx32, 111
  %how_y = add i32 %ty32, 111
  %is_fresh = icmp eq i64 %adds, 0
  %beta = select i1 %is_fresh, REAL 0.0, REAL 1.0
  INTEGERS(m n k xs ys zs)
  call void @cblas_gemm(i32 101, i32 %how_x, i32 %how_y, INT %im, INT %in, INT %ik, REAL 1.0,
    ptr %px, INT %ixs, ptr %py, INT %iys, REAL %beta, ptr %pz, INT %izs)
  ret void
}

define internal void @gemv(i64 %ta, i64 %m, i64 %n, ptr %a, i64 %aa, i64 %as, ptr %x, i64 %xa,
                           i64 %xs, ptr %z, i64 %za) nounwind {
  %pa = getelementptr REAL, ptr %a, i64 %aa
  %px = getelementptr REAL, ptr %x, i64 %xa
  %pz = getelementptr REAL, ptr %z, i64 %za
  %ta32 = trunc i64 %ta to i32
  %how = add i32 %ta32, 111
  INTEGERS(m n as xs)
  call void @cblas_gemv(i32 101, i32 %how, INT %im, INT %in, REAL 1.0, ptr %pa, INT %ias,
    ptr %px, INT %ixs, REAL 0.0, ptr %pz, INT 1)
  ret void
}

"""

_LOOP = """
define void @tj_NAME(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind {
  %a = ptrtoint ptr %args to i64
  %m = ptrtoint ptr %meta to i64
  %r = call i64 @NAME(i64 %a, i64 %m, i64 %begin, i64 %end)
  ret void
}
"""

_GUARD = """
@state = external global i8
declare i32 @get_threads()
declare void @set_threads(i32)

define internal void @lock() nounwind {
entry:
  br label %try
try:
  %pair = cmpxchg ptr @state, i64 0, i64 1 acquire monotonic
  %taken = extractvalue { i64, i1 } %pair, 1
  br i1 %taken, label %done, label %try
done:
  ret void
}

define void @single(ptr %args, ptr %meta) nounwind {
  call void @lock()
  %users_at = getelementptr i64, ptr @state, i64 1
  %kept_at = getelementptr i64, ptr @state, i64 2
  %users = load i64, ptr %users_at
  %more = add i64 %users, 1
  store i64 %more, ptr %users_at
  %is_first = icmp eq i64 %users, 0
  br i1 %is_first, label %first, label %done
first:
  %threads = call i32 @get_threads()
  %wide = sext i32 %threads to i64
  store i64 %wide, ptr %kept_at
  call void @set_threads(i32 1)
  br label %done
done:
  store atomic i64 0, ptr @state release, align 8
  ret void
}

define void @restore(ptr %args, ptr %meta) nounwind {
  call void @lock()
  %users_at = getelementptr i64, ptr @state, i64 1
  %kept_at = getelementptr i64, ptr @state, i64 2
  %users = load i64, ptr %users_at
  %less = sub i64 %users, 1
  store i64 %less, ptr %users_at
  %is_last = icmp eq i64 %less, 0
  br i1 %is_last, label %last, label %done
last:
  %wide = load i64, ptr %kept_at
  %threads = trunc i64 %wide to i32
  call void @set_threads(i32 %threads)
  br label %done
done:
  store atomic i64 0, ptr @state release, align 8
  ret void
}
"""


def _text(dtype, bits):
    """The module of one dtype."""
    integer, real = f"i{bits}", _TYPES[dtype][0]
    lines = []
    for line in _WRAPPERS.splitlines():
        if "INTEGERS" in line:
            names = line[line.index("(") + 1 : line.index(")")].split()
            change = "add i64 0, %{}" if bits == 64 else "trunc i64 %{} to i32"
            lines += [f"  %i{name} = {change.format(name)}" for name in names]
        else:
            lines.append(line.replace("INT", integer).replace("REAL", real))
    defined = ["gemm", "gemv", "tile11", "tile14", "tile41", "tile44"]
    defined += [f"block{m}{n}" for m in (1, 8) for n in (1, 2, 3)]
    defined += ["turn_rows", "turn_lanes", "copy_rows", "fetch_ahead"]
    loops = "".join(_LOOP.replace("NAME", name) for name in LOOPS)
    dots = tiles.emit_dots(real, vector_bytes()) + tiles.emit_blocks(real, vector_bytes())
    return words.emit_words(blas_code, (), defined) + "\n".join(lines) + dots + loops


def vector_bytes(target: native.Host | None = None) -> int:
    """Of the registers of this machine, or of another."""
    return 64 if "+avx512f" in (target or native.host()).features.split(",") else 32


# ---------------------------------------------------------------- addresses


@once
def _library() -> ctypes.CDLL:
    """NumPy's extension, through whose handle its BLAS is found."""
    module = sys.modules.get("numpy._core._multiarray_umath")
    module = module or sys.modules["numpy.core._multiarray_umath"]
    assert module.__file__ is not None
    return ctypes.CDLL(module.__file__)


def _address(name):
    function = getattr(_library(), name, None)
    return None if function is None else ctypes.cast(function, ctypes.c_void_p).value


def _find(dtype) -> tuple[dict[str, int], int]:
    """Addresses of gemm and gemv, and the width of their integers."""
    letter = _TYPES[dtype][1]
    for form, bits in _NAMES:
        found = {f"cblas_{n}": _address(form.format(letter + n)) for n in ("gemm", "gemv")}
        if all(found.values()):
            return {name: address or 0 for name, address in found.items()}, bits
    raise KernelError(f"blas: NumPy {np.__version__} has no CBLAS of a known name")


# ---------------------------------------------------------------- compiled


_LIBRARIES: dict[str, native.NativeLibrary] = {}


def _compiled(dtype) -> native.NativeLibrary:
    """The loop of one dtype, tried on a small product; kept for good."""
    library = _LIBRARIES.get(dtype)
    if library is None:
        imports, bits = _find(dtype)
        texts = [_WRAPPERS, _LOOP, *map(inspect.getsource, (blas_code, tiles)), *words.sources()]
        library = native.compile_cached(
            lambda: _text(dtype, bits), (*(f"tj_{name}" for name in LOOPS), "gemm"), imports,
            tier=1, source=repr((dtype, bits, vector_bytes(), texts)),
        )  # fmt: skip
        _check(library, dtype)
        _LIBRARIES[dtype] = library
    return library


def _check(library, dtype):
    """Whether the functions take what their names promise."""
    kind = np.float32 if dtype == "f32" else np.float64
    x, y, z = np.arange(6, dtype=kind), np.arange(8, dtype=kind), np.zeros(12, kind)
    meta = np.array([0, 0, 3, 4, 2, 2, 4, 0, 0, 0], np.int64)
    args = np.array([x.ctypes.data, y.ctypes.data, z.ctypes.data], np.int64)
    loop = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    loop(library.address("tj_products"))(args.ctypes.data, meta.ctypes.data, 0, 1)
    if z.tolist() != (x.reshape(3, 2) @ y.reshape(2, 4)).reshape(-1).tolist():
        raise KernelError("blas: NumPy's CBLAS does not multiply as expected")


@once
def _guard() -> tuple[int, int] | None:
    """`single` and `restore`; None where BLAS's threads cannot be set."""
    for names in _THREADS:
        get, change = map(_address, names)
        if get and change:
            break
    else:
        return None
    state = np.zeros(3, np.int64)
    imports = {"state": state.ctypes.data, "get_threads": get, "set_threads": change}
    library = native.compile_cached(_GUARD, ("single", "restore"), imports, tier=1)
    _guard.kept = library, state  # type: ignore[attr-defined]

    def forget():
        """A forked child: nobody is in a product."""
        if state[1]:
            ctypes.CFUNCTYPE(None, ctypes.c_int)(change)(int(state[2]))
        state[:] = 0

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)
    return library.address("single"), library.address("restore")


@functools.cache
def tile_library(dtype: str) -> native.NativeLibrary:
    """What loops in Python call (ops/loops/tiles.py), for floats of one dtype.

    Errors  KernelError where multiplications are not added in one go
    """
    if not native.host().has_fma:
        raise KernelError("blas: tiles of products need fused multiply-add")
    text = tiles.emit_tiles(_TYPES[dtype][0], vector_bytes())
    symbols = tuple(tiles.symbol(name, dtype) for name in TILES)
    return native.compile_cached(text, symbols, tier=1)


# ---------------------------------------------------------------- what others use

_CELLS: dict[tuple, Cell] = {}


def can_share() -> bool:
    """Whether calls of BLAS from several of our threads keep to one thread each."""
    return _guard() is not None


def guard() -> tuple[int, int]:
    """What a loop that calls BLAS does first and last: addresses, 0 for nothing."""
    return _guard() or (0, 0)


def cell(name: str, dtype: str, is_batch: bool) -> Cell:
    """The cell of one of LOOPS for a dtype: a single product, or a batch.

    Errors  KernelError if NumPy's BLAS cannot be called
    """
    if name == "blocks" and not (vector_bytes() == 64 and native.host().has_fma):
        name = "products"  # the same meta; too few registers
    found = _CELLS.get((name, dtype, is_batch))
    if found is None:
        if name == "dots" and not native.host().has_fma:
            raise KernelError("blas: dot products need fused multiply-add")
        library = _compiled(dtype)
        start, finish = guard() if is_batch and name in CALLING else (0, 0)
        found = Cell(start, library.address(f"tj_{name}"), finish, library)
        _CELLS[name, dtype, is_batch] = found
    return found
