"""Tiles of matrix products, printed as IR: as many sums as there are registers.

Dot products: z[i, j] = sum over k of x[i, k] * y[j, k].  A product x @ w' of few rows is bound by
reading w, which a BLAS first copies into its own order: a third of the time at 32 rows.  Both run
along k, so vectors of both are loaded where they lie; each sum is added up across its lanes in the
end.  Products: z[i, j] = sum over k of a[k, i] * b[place of k + j], with a packed and rows of b
anywhere, which is what a convolution is.

    void @tileRS(ptr x, i64 x_step, ptr y, i64 y_step, ptr z, i64 z_step, i64 k)
    void @blockRV(ptr a, i64 a_row, i64 a_k, ptr b, i64 b_k, i64 k, ptr z, i64 z_row)
    void @tj_product_tile_f32, @tj_dot_tile_f32...          as ops/loops/tiles.py says

Start at `emit_dots`, for runtime/blas_code.py, and `emit_tiles`, for loops in Python.
"""

from __future__ import annotations

import itertools

from tapejit.ops.loops import tiles

ROWS = tiles.DOTS
"""16 sums and 8 loads for them: 24 of the 32 registers of AVX-512."""

_BYTES = {"float": 4, "double": 8}
_LETTER = {"float": "f32", "double": "f64"}


def symbol(name: str, dtype: str) -> str:
    """What a tile of ops/loops/tiles.py is called in machine code."""
    return f"tj_{name}_{dtype}"


_DOT = """
define void @NAME(ptr %x, i64 %x_at, i64 %x_step, ptr %y, i64 %y_at, ptr %places,
                     i64 %places_at, i64 %k, ptr %z, i64 %z_at, i64 %z_step) nounwind {
  %px = getelementptr REAL, ptr %x, i64 %x_at
  %py = getelementptr REAL, ptr %y, i64 %y_at
  %pp = getelementptr i64, ptr %places, i64 %places_at
  %pz = getelementptr REAL, ptr %z, i64 %z_at
  call void @TILE(ptr %px, i64 %x_step, ptr %py, ptr %pp, ptr %pz, i64 %z_step, i64 %k)
  ret void
}
"""


def emit_dots(real: str, vector_bytes: int) -> str:
    """The tiles of dot products of ROWS rows, or one, of each operand."""
    lanes, vector, suffix = _vectors(real, vector_bytes)
    sizes = itertools.product((1, ROWS), repeat=2)
    head = _declarations(real, vector_bytes)
    return head + "".join(_dots(m, n, real, lanes, vector, suffix, False) for m, n in sizes)


def emit_tiles(real: str, vector_bytes: int) -> str:
    """What loops call."""
    lanes, vector, suffix = _vectors(real, vector_bytes)
    parts = [_declarations(real, vector_bytes)]
    for name, n in (("dot_tile", ROWS), ("dot_one", 1)):
        parts.append(_dots(n, n, real, lanes, vector, suffix, True))
        text = _DOT.replace("NAME", symbol(name, _LETTER[real])).replace("TILE", f"places{n}{n}")
        parts.append(text.replace("REAL", real))
    parts.append(_product(real, vector_bytes))
    return "".join(parts)


def _vectors(real, vector_bytes):
    lanes = vector_bytes // _BYTES[real]
    return lanes, f"<{lanes} x {real}>", f"v{lanes}{_LETTER[real]}"


def _declarations(real, vector_bytes):
    lanes, vector, suffix = _vectors(real, vector_bytes)
    return (
        f"declare {vector} @llvm.fmuladd.{suffix}({vector}, {vector}, {vector})\n"
        f"declare {vector} @llvm.masked.load.{suffix}.p0(ptr, i32, <{lanes} x i1>, {vector})\n"
        f"declare {real} @llvm.vector.reduce.fadd.{suffix}({real}, {vector})\n"
    )


# ---------------------------------------------------------------- products


def _product(real, vector_bytes):
    """All rows and columns of the tile where 32 registers hold the sums, else in parts."""
    lanes, vector, suffix = _vectors(real, vector_bytes)
    columns = tiles.COLUMNS[_LETTER[real]]
    rows = tiles.ROWS if vector_bytes == 64 else tiles.ROWS // 2
    wide = 3 * lanes
    lines = [
        f"define void @{symbol('product_tile', _LETTER[real])}(ptr %a, i64 %a_at, ptr %b, "
        "i64 %b_at, ptr %places, i64 %places_at, i64 %k, ptr %z, i64 %z_at, i64 %z_step) "
        "nounwind {",
        "  %pp = getelementptr i64, ptr %places, i64 %places_at",
    ]
    for part, (r, j) in enumerate(
        itertools.product(range(0, tiles.ROWS, rows), range(0, columns, wide))
    ):
        lines += [
            f"  %a_at{part} = add i64 %a_at, {r}",
            f"  %b_at{part} = add i64 %b_at, {j}",
            f"  %down{part} = mul i64 %z_step, {r}",
            f"  %over{part} = add i64 %down{part}, {j}",
            f"  %z_at{part} = add i64 %z_at, %over{part}",
            f"  %pa{part} = getelementptr {real}, ptr %a, i64 %a_at{part}",
            f"  %pb{part} = getelementptr {real}, ptr %b, i64 %b_at{part}",
            f"  %pz{part} = getelementptr {real}, ptr %z, i64 %z_at{part}",
            f"  call void @part(ptr %pa{part}, ptr %pb{part}, ptr %pp, i64 %k, ptr %pz{part}, "
            "i64 %z_step)",
        ]
    lines += ["  ret void", "}", ""]
    return _part(rows, 3, real, lanes, vector, suffix) + "\n".join(lines)


def emit_blocks(real: str, vector_bytes: int) -> str:
    """Products of matrices: 8 rows or 1, of up to 3 vectors, and what packs operands."""
    lanes, vector, suffix = _vectors(real, vector_bytes)
    sizes = itertools.product((1, tiles.ROWS), (1, 2, 3))
    parts = [_part(m, n, real, lanes, vector, suffix, is_block=True) for m, n in sizes]
    for name, rows in (("turn_rows", tiles.ROWS), ("turn_lanes", lanes)):
        parts.append(_turn(name, rows, real, lanes, vector, suffix))
    facts = {"REAL": real, "ROWS": str(tiles.ROWS), "BYTES": str(_BYTES[real])}
    packing = _PACKING
    for name, fact in facts.items():
        packing = packing.replace(name, fact)
    return "".join(parts) + packing


_PACKING = """
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)

define internal void @fetch_ahead(ptr %x, i64 %n_bytes) nounwind {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %p = getelementptr i8, ptr %x, i64 %i
  call void @llvm.prefetch.p0(ptr %p, i32 0, i32 2, i32 1)
  %next = add i64 %i, 64
  %more = icmp slt i64 %next, %n_bytes
  br i1 %more, label %loop, label %done
done:
  ret void
}
define internal void @copy_rows(ptr %x, i64 %x_step, i64 %k, ptr %z) nounwind {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %x_at = mul i64 %i, %x_step
  %z_at = mul i64 %i, ROWS
  %px = getelementptr REAL, ptr %x, i64 %x_at
  %pz = getelementptr REAL, ptr %z, i64 %z_at
  %v = load <ROWS x REAL>, ptr %px, align BYTES
  store <ROWS x REAL> %v, ptr %pz, align BYTES
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %k
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


def _turn(name, rows, real, lanes, vector, suffix):
    """A function that writes k columns of some rows of x as rows of z: z_step apart, or without
    gaps where they are not vectors.  k is rounded up to whole vectors, with zeros.

    Interleaving rows i and i + rows / 2, for all i, moves the first bit of an element's place to
    its end; log2(rows) times, and all bits of the row's number are behind the column's.
    """
    lines = [
        f"define internal void @{name}(ptr %x, i64 %x_step, i64 %k, ptr %z, i64 %z_step) "
        "nounwind {",
        "entry:",
    ]
    for r in range(rows):
        lines += [
            f"  %x_at{r} = mul i64 %x_step, {r}",
            f"  %x{r} = getelementptr {real}, ptr %x, i64 %x_at{r}",
        ]
    lines += [
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [0, %entry], [%next, %loop]",
        "  %left = sub i64 %k, %i",
        f"  %one = insertelement <{lanes} x i64> poison, i64 %left, i64 0",
        f"  %all = shufflevector <{lanes} x i64> %one, <{lanes} x i64> poison, "
        f"<{lanes} x i32> zeroinitializer",
        f"  %mask = icmp slt <{lanes} x i64> <{', '.join(f'i64 {i}' for i in range(lanes))}>, %all",
    ]
    now = [f"%v0_{r}" for r in range(rows)]
    for r in range(rows):
        lines += [
            f"  %p{r} = getelementptr {real}, ptr %x{r}, i64 %i",
            f"  {now[r]} = call {vector} @llvm.masked.load.{suffix}.p0(ptr %p{r}, "
            f"i32 {_BYTES[real]}, <{lanes} x i1> %mask, {vector} zeroinitializer)",
        ]
    half = lanes // 2
    for step in range(1, rows.bit_length()):
        turned = [f"%v{step}_{r}" for r in range(rows)]
        for r in range(rows):
            first = r % 2 * half
            places = [place for i in range(half) for place in (first + i, lanes + first + i)]
            lines.append(
                f"  {turned[r]} = shufflevector {vector} {now[r // 2]}, "
                f"{vector} {now[rows // 2 + r // 2]}, "
                f"<{lanes} x i32> <{', '.join(f'i32 {p}' for p in places)}>"
            )
        now = turned
    step = "%z_step" if rows == lanes else str(rows)
    lines.append(f"  %z_at = mul i64 %i, {step}")
    for r in range(rows):
        down = f"mul i64 %z_step, {r}" if rows == lanes else f"add i64 0, {r * lanes}"
        lines += [
            f"  %down{r} = {down}",
            f"  %to{r} = add i64 %z_at, %down{r}",
            f"  %pz{r} = getelementptr {real}, ptr %z, i64 %to{r}",
            f"  store {vector} {now[r]}, ptr %pz{r}, align {_BYTES[real]}",
        ]
    lines += [
        f"  %next = add i64 %i, {lanes}",
        "  %more = icmp slt i64 %next, %k",
        "  br i1 %more, label %loop, label %done",
        "done:",
    ]
    return "\n".join([*lines, "  ret void", "}", ""])


def _part(m, n, real, lanes, vector, suffix, is_block=False):
    """m rows of n vectors.  a has tiles.ROWS numbers for each k, rows of b are at places; in a
    block, both are matrices with steps."""
    sums = list(itertools.product(range(m), range(n)))
    name, given = "part", "ptr %a, ptr %b, ptr %places"
    if is_block:
        name, given = f"block{m}{n}", "ptr %a, i64 %a_row, i64 %a_k, ptr %b, i64 %b_k"
    lines = [
        f"define internal void @{name}({given}, i64 %k, ptr %z, i64 %z_step) nounwind {{",
        "entry:",
    ]
    for r in range(m):
        lines += [
            f"  %row_at{r} = mul i64 {'%a_row' if is_block else 1}, {r}",
            f"  %a_row{r} = getelementptr {real}, ptr %a, i64 %row_at{r}",
        ]
    lines += [
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [0, %entry], [%next, %loop]",
    ]
    lines += [
        f"  %s{r}_{s} = phi {vector} [zeroinitializer, %entry], [%t{r}_{s}, %loop]" for r, s in sums
    ]
    if is_block:
        lines.append("  %place = mul i64 %i, %b_k")
    else:
        lines += [
            "  %place_at = getelementptr i64, ptr %places, i64 %i",
            "  %place = load i64, ptr %place_at",
        ]
    lines += [
        f"  %row = getelementptr {real}, ptr %b, i64 %place",
        f"  %first = mul i64 %i, {'%a_k' if is_block else tiles.ROWS}",
    ]
    for s in range(n):
        lines += [
            f"  %pb{s} = getelementptr {real}, ptr %row, i64 {s * lanes}",
            f"  %b{s} = load {vector}, ptr %pb{s}, align {_BYTES[real]}",
        ]
    for r in range(m):
        lines += [
            f"  %pa{r} = getelementptr {real}, ptr %a_row{r}, i64 %first",
            f"  %n{r} = load {real}, ptr %pa{r}",
            f"  %o{r} = insertelement {vector} poison, {real} %n{r}, i64 0",
            f"  %a{r} = shufflevector {vector} %o{r}, {vector} poison, "
            f"<{lanes} x i32> zeroinitializer",
        ]
    lines += [_fma(f"%t{r}_{s}", f"%a{r}", f"%b{s}", f"%s{r}_{s}", vector, suffix) for r, s in sums]
    lines += [
        "  %next = add i64 %i, 1",
        "  %more = icmp slt i64 %next, %k",
        "  br i1 %more, label %loop, label %done",
        "done:",
    ]
    for r in range(m):
        lines += [
            f"  %down{r} = mul i64 %z_step, {r}",
            f"  %z{r} = getelementptr {real}, ptr %z, i64 %down{r}",
        ]
    for r, s in sums:
        lines += [
            f"  %pz{r}_{s} = getelementptr {real}, ptr %z{r}, i64 {s * lanes}",
            f"  store {vector} %t{r}_{s}, ptr %pz{r}_{s}, align {_BYTES[real]}",
        ]
    return "\n".join([*lines, "  ret void", "}", ""])


# ---------------------------------------------------------------- dot products


def _dots(m, n, real, lanes, vector, suffix, has_places):
    """Rows of y a step apart; or at places, and the sums are added to z."""
    sums = list(itertools.product(range(m), range(n)))
    name, apart = ("places", "ptr %places") if has_places else ("tile", "i64 %y_step")
    lines = [
        f"define internal void @{name}{m}{n}(ptr %x, i64 %x_step, ptr %y, {apart}, ptr %z, "
        "i64 %z_step, i64 %k) nounwind {",
        "entry:",
        f"  %whole = and i64 %k, {-lanes}",
    ]
    for name, count in (("x", m), ("y", n)):
        for r in range(count):
            if name == "y" and has_places:
                lines += [
                    f"  %place{r} = getelementptr i64, ptr %places, i64 {r}",
                    f"  %y_at{r} = load i64, ptr %place{r}",
                ]
            else:
                lines.append(f"  %{name}_at{r} = mul i64 %{name}_step, {r}")
            lines.append(f"  %{name}{r} = getelementptr {real}, ptr %{name}, i64 %{name}_at{r}")
    lines += [
        "  %has_whole = icmp sgt i64 %whole, 0",
        "  br i1 %has_whole, label %loop, label %behind",
        "loop:",
        "  %i = phi i64 [0, %entry], [%i_next, %loop]",
    ]
    lines += [
        f"  %s{r}_{s} = phi {vector} [zeroinitializer, %entry], [%t{r}_{s}, %loop]" for r, s in sums
    ]
    for name, count in (("x", m), ("y", n)):
        for r in range(count):
            lines += [
                f"  %p{name}{r} = getelementptr {real}, ptr %{name}{r}, i64 %i",
                f"  %v{name}{r} = load {vector}, ptr %p{name}{r}, align {_BYTES[real]}",
            ]
    lines += [_fma(f"%t{r}_{s}", f"%vx{r}", f"%vy{s}", f"%s{r}_{s}", vector, suffix)
              for r, s in sums]  # fmt: skip
    lines += [
        f"  %i_next = add i64 %i, {lanes}",
        "  %more = icmp slt i64 %i_next, %whole",
        "  br i1 %more, label %loop, label %behind",
        "behind:",
    ]
    lines += [
        f"  %u{r}_{s} = phi {vector} [zeroinitializer, %entry], [%t{r}_{s}, %loop]" for r, s in sums
    ]
    lines += [
        "  %left = sub i64 %k, %whole",
        "  %is_left = icmp sgt i64 %left, 0",
        "  br i1 %is_left, label %rest, label %done",
        "rest:",
        f"  %one = insertelement <{lanes} x i64> poison, i64 %left, i64 0",
        f"  %all = shufflevector <{lanes} x i64> %one, <{lanes} x i64> poison, "
        f"<{lanes} x i32> zeroinitializer",
        f"  %mask = icmp slt <{lanes} x i64> <{', '.join(f'i64 {i}' for i in range(lanes))}>, %all",
    ]
    for name, count in (("x", m), ("y", n)):
        for r in range(count):
            lines += [
                f"  %q{name}{r} = getelementptr {real}, ptr %{name}{r}, i64 %whole",
                f"  %w{name}{r} = call {vector} @llvm.masked.load.{suffix}.p0(ptr %q{name}{r}, "
                f"i32 {_BYTES[real]}, <{lanes} x i1> %mask, {vector} zeroinitializer)",
            ]
    lines += [_fma(f"%r{r}_{s}", f"%wx{r}", f"%wy{s}", f"%u{r}_{s}", vector, suffix)
              for r, s in sums]  # fmt: skip
    lines += ["  br label %done", "done:"]
    lines += [
        f"  %e{r}_{s} = phi {vector} [%u{r}_{s}, %behind], [%r{r}_{s}, %rest]" for r, s in sums
    ]
    for r in range(m):
        lines += [
            f"  %z_at{r} = mul i64 %z_step, {r}",
            f"  %z{r} = getelementptr {real}, ptr %z, i64 %z_at{r}",
        ]
    for r, s in sums:
        lines += [
            f"  %f{r}_{s} = call reassoc {real} @llvm.vector.reduce.fadd.{suffix}({real} -0.0, "
            f"{vector} %e{r}_{s})",
            f"  %o{r}_{s} = getelementptr {real}, ptr %z{r}, i64 {s}",
        ]
        if has_places:
            lines += [
                f"  %old{r}_{s} = load {real}, ptr %o{r}_{s}",
                f"  %new{r}_{s} = fadd {real} %old{r}_{s}, %f{r}_{s}",
            ]
        lines.append(f"  store {real} %{'new' if has_places else 'f'}{r}_{s}, ptr %o{r}_{s}")
    return "\n".join([*lines, "  ret void", "}", ""])


def _fma(result, x, y, z, vector, suffix):
    """Fused where the processor has an instruction for it: elsewhere `llvm.fma` calls libm."""
    operands = f"{vector} {x}, {vector} {y}, {vector} {z}"
    return f"  {result} = call {vector} @llvm.fmuladd.{suffix}({operands})"
