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
from typing import NamedTuple

from tapejit.ops.loops import tiles

ROWS = tiles.DOTS
"""16 sums and 8 loads for them: 24 of the 32 registers of AVX-512."""

_BYTES = {"float": 4, "double": 8}
_DTYPE = {"float": "f32", "double": "f64"}


class _Vectors(NamedTuple):
    """Numbers of one type in registers of one width, and the lines that work on them."""

    real: str
    lanes: int

    @classmethod
    def of(cls, real: str, vector_bytes: int) -> _Vectors:
        return cls(real, vector_bytes // _BYTES[real])

    @property
    def kind(self) -> str:
        return f"<{self.lanes} x {self.real}>"

    @property
    def suffix(self) -> str:
        """What LLVM's functions of such vectors end with."""
        return f"v{self.lanes}{_DTYPE[self.real]}"

    @property
    def bytes(self) -> int:
        """Of one number: what vectors in memory are aligned to."""
        return _BYTES[self.real]

    def address(self, result: str, base: str, at: str | int) -> str:
        return f"  {result} = getelementptr {self.real}, ptr {base}, i64 {at}"

    def load(self, result: str, place: str) -> str:
        return f"  {result} = load {self.kind}, ptr {place}, align {self.bytes}"

    def store(self, value: str, place: str) -> str:
        return f"  store {self.kind} {value}, ptr {place}, align {self.bytes}"

    def mask(self) -> list[str]:
        """%mask: the lanes of which there are %left."""
        lanes, numbers = self.lanes, ", ".join(f"i64 {i}" for i in range(self.lanes))
        return [
            f"  %one = insertelement <{lanes} x i64> poison, i64 %left, i64 0",
            f"  %all = shufflevector <{lanes} x i64> %one, <{lanes} x i64> poison, "
            f"<{lanes} x i32> zeroinitializer",
            f"  %mask = icmp slt <{lanes} x i64> <{numbers}>, %all",
        ]

    def load_masked(self, result: str, place: str) -> str:
        """As `load`; lanes that %mask leaves out are 0."""
        return (
            f"  {result} = call {self.kind} @llvm.masked.load.{self.suffix}.p0(ptr {place}, "
            f"i32 {self.bytes}, <{self.lanes} x i1> %mask, {self.kind} zeroinitializer)"
        )

    def fma(self, result: str, x: str, y: str, z: str) -> str:
        """Fused where the processor has an instruction for it: elsewhere `llvm.fma` calls libm."""
        operands = f"{self.kind} {x}, {self.kind} {y}, {self.kind} {z}"
        return f"  {result} = call {self.kind} @llvm.fmuladd.{self.suffix}({operands})"

    def sum_so_far(self, result: str, one: tuple[int, int]) -> str:
        """The sum of a row and a column: 0, or what the loop has added up."""
        r, s = one
        return f"  {result}{r}_{s} = phi {self.kind} [zeroinitializer, %entry], [%t{r}_{s}, %loop]"


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
    of = _Vectors.of(real, vector_bytes)
    sizes = itertools.product((1, ROWS), repeat=2)
    return _declarations(of) + "".join(_dots(of, m, n, False) for m, n in sizes)


def emit_tiles(real: str, vector_bytes: int) -> str:
    """What loops call."""
    of = _Vectors.of(real, vector_bytes)
    parts = [_declarations(of)]
    for name, n in (("dot_tile", ROWS), ("dot_one", 1)):
        parts.append(_dots(of, n, n, True))
        text = _DOT.replace("NAME", symbol(name, _DTYPE[real])).replace("TILE", f"places{n}{n}")
        parts.append(text.replace("REAL", real))
    parts.append(_product(of))
    return "".join(parts)


def _declarations(of):
    vector, mask, suffix = of.kind, f"<{of.lanes} x i1>", of.suffix
    return (
        f"declare {vector} @llvm.fmuladd.{suffix}({vector}, {vector}, {vector})\n"
        f"declare {vector} @llvm.masked.load.{suffix}.p0(ptr, i32, {mask}, {vector})\n"
        f"declare {of.real} @llvm.vector.reduce.fadd.{suffix}({of.real}, {vector})\n"
    )


# ---------------------------------------------------------------- products


def _product(of):
    """All rows and columns of the tile where 32 registers hold the sums, else in parts."""
    columns = tiles.COLUMNS[_DTYPE[of.real]]
    rows = tiles.ROWS if of.lanes * of.bytes == 64 else tiles.ROWS // 2
    wide = 3 * of.lanes
    lines = [
        f"define void @{symbol('product_tile', _DTYPE[of.real])}(ptr %a, i64 %a_at, ptr %b, "
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
            of.address(f"%pa{part}", "%a", f"%a_at{part}"),
            of.address(f"%pb{part}", "%b", f"%b_at{part}"),
            of.address(f"%pz{part}", "%z", f"%z_at{part}"),
            f"  call void @part(ptr %pa{part}, ptr %pb{part}, ptr %pp, i64 %k, ptr %pz{part}, "
            "i64 %z_step)",
        ]
    lines += ["  ret void", "}", ""]
    return _part(of, rows, 3) + "\n".join(lines)


def emit_blocks(real: str, vector_bytes: int) -> str:
    """Products of matrices: 8 rows or 1, of up to 3 vectors, and what packs operands."""
    of = _Vectors.of(real, vector_bytes)
    sizes = itertools.product((1, tiles.ROWS), (1, 2, 3))
    parts = [_part(of, m, n, is_block=True) for m, n in sizes]
    for name, rows in (("turn_rows", tiles.ROWS), ("turn_lanes", of.lanes)):
        parts.append(_turn(of, name, rows))
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


def _turn(of, name, rows):
    """A function that writes k columns of some rows of x as rows of z: z_step apart, or without
    gaps where they are not vectors.  k is rounded up to whole vectors, with zeros."""
    is_apart = rows == of.lanes
    lines = [
        f"define internal void @{name}(ptr %x, i64 %x_step, i64 %k, ptr %z, i64 %z_step) "
        "nounwind {",
        "entry:",
    ]
    for r in range(rows):
        lines += [f"  %x_at{r} = mul i64 %x_step, {r}", of.address(f"%x{r}", "%x", f"%x_at{r}")]
    lines += [
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [0, %entry], [%next, %loop]",
        "  %left = sub i64 %k, %i",
        *of.mask(),
    ]
    for r in range(rows):
        lines += [of.address(f"%p{r}", f"%x{r}", "%i"), of.load_masked(f"%v0_{r}", f"%p{r}")]
    turned, names = _interleaved(of, rows)
    lines += turned
    lines.append(f"  %z_at = mul i64 %i, {'%z_step' if is_apart else rows}")
    for r in range(rows):
        down = f"mul i64 %z_step, {r}" if is_apart else f"add i64 0, {r * of.lanes}"
        lines += [
            f"  %down{r} = {down}",
            f"  %to{r} = add i64 %z_at, %down{r}",
            of.address(f"%pz{r}", "%z", f"%to{r}"),
            of.store(names[r], f"%pz{r}"),
        ]
    lines += [
        f"  %next = add i64 %i, {of.lanes}",
        "  %more = icmp slt i64 %next, %k",
        "  br i1 %more, label %loop, label %done",
        "done:",
    ]
    return "\n".join([*lines, "  ret void", "}", ""])


def _interleaved(of, rows):
    """Lines that transpose %v0_0, %v0_1..., and the names of the results.

    Interleaving rows i and i + rows / 2, for all i, moves the first bit of an element's place to
    its end; log2(rows) times, and all bits of the row's number are behind the column's.
    """
    lines, names = [], [f"%v0_{r}" for r in range(rows)]
    half = of.lanes // 2
    for step in range(1, rows.bit_length()):
        turned = [f"%v{step}_{r}" for r in range(rows)]
        for r in range(rows):
            first = r % 2 * half
            places = [place for i in range(half) for place in (first + i, of.lanes + first + i)]
            lines.append(
                f"  {turned[r]} = shufflevector {of.kind} {names[r // 2]}, "
                f"{of.kind} {names[rows // 2 + r // 2]}, "
                f"<{of.lanes} x i32> <{', '.join(f'i32 {p}' for p in places)}>"
            )
        names = turned
    return lines, names


def _part(of, m, n, is_block=False):
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
            of.address(f"%a_row{r}", "%a", f"%row_at{r}"),
        ]
    lines += [
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [0, %entry], [%next, %loop]",
        *(of.sum_so_far("%s", one) for one in sums),
        *_row_of_b(of, is_block),
        f"  %first = mul i64 %i, {'%a_k' if is_block else tiles.ROWS}",
        *_vectors_of_b(of, n),
        *_numbers_of_a(of, m),
        *(of.fma(f"%t{r}_{s}", f"%a{r}", f"%b{s}", f"%s{r}_{s}") for r, s in sums),
        "  %next = add i64 %i, 1",
        "  %more = icmp slt i64 %next, %k",
        "  br i1 %more, label %loop, label %done",
        "done:",
    ]
    for r in range(m):
        lines += [f"  %down{r} = mul i64 %z_step, {r}", of.address(f"%z{r}", "%z", f"%down{r}")]
    for r, s in sums:
        lines += [
            of.address(f"%pz{r}_{s}", f"%z{r}", s * of.lanes),
            of.store(f"%t{r}_{s}", f"%pz{r}_{s}"),
        ]
    return "\n".join([*lines, "  ret void", "}", ""])


def _row_of_b(of, is_block):
    """%row: where row %i of b begins."""
    if is_block:
        return ["  %place = mul i64 %i, %b_k", of.address("%row", "%b", "%place")]
    return [
        "  %place_at = getelementptr i64, ptr %places, i64 %i",
        "  %place = load i64, ptr %place_at",
        of.address("%row", "%b", "%place"),
    ]


def _vectors_of_b(of, n):
    lines = []
    for s in range(n):
        lines += [of.address(f"%pb{s}", "%row", s * of.lanes), of.load(f"%b{s}", f"%pb{s}")]
    return lines


def _numbers_of_a(of, m):
    """One number of each row in all lanes."""
    lines = []
    for r in range(m):
        lines += [
            of.address(f"%pa{r}", f"%a_row{r}", "%first"),
            f"  %n{r} = load {of.real}, ptr %pa{r}",
            f"  %o{r} = insertelement {of.kind} poison, {of.real} %n{r}, i64 0",
            f"  %a{r} = shufflevector {of.kind} %o{r}, {of.kind} poison, "
            f"<{of.lanes} x i32> zeroinitializer",
        ]
    return lines


# ---------------------------------------------------------------- dot products


def _dots(of, m, n, has_places):
    """Rows of y a step apart; or at places, and the sums are added to z."""
    sums = list(itertools.product(range(m), range(n)))
    rows = [*(f"x{r}" for r in range(m)), *(f"y{s}" for s in range(n))]
    name, apart = ("places", "ptr %places") if has_places else ("tile", "i64 %y_step")
    lines = [
        f"define internal void @{name}{m}{n}(ptr %x, i64 %x_step, ptr %y, {apart}, ptr %z, "
        "i64 %z_step, i64 %k) nounwind {",
        "entry:",
        f"  %whole = and i64 %k, {-of.lanes}",
        *_beginnings(of, m, n, has_places),
        "  %has_whole = icmp sgt i64 %whole, 0",
        "  br i1 %has_whole, label %loop, label %behind",
        "loop:",
        "  %i = phi i64 [0, %entry], [%i_next, %loop]",
        *(of.sum_so_far("%s", one) for one in sums),
    ]
    for row in rows:
        lines += [of.address(f"%p{row}", f"%{row}", "%i"), of.load(f"%v{row}", f"%p{row}")]
    lines += [
        *(of.fma(f"%t{r}_{s}", f"%vx{r}", f"%vy{s}", f"%s{r}_{s}") for r, s in sums),
        f"  %i_next = add i64 %i, {of.lanes}",
        "  %more = icmp slt i64 %i_next, %whole",
        "  br i1 %more, label %loop, label %behind",
        "behind:",
        *(of.sum_so_far("%u", one) for one in sums),
        "  %left = sub i64 %k, %whole",
        "  %is_left = icmp sgt i64 %left, 0",
        "  br i1 %is_left, label %rest, label %done",
        "rest:",
        *of.mask(),
    ]
    for row in rows:
        lines += [
            of.address(f"%q{row}", f"%{row}", "%whole"),
            of.load_masked(f"%w{row}", f"%q{row}"),
        ]
    lines += [
        *(of.fma(f"%r{r}_{s}", f"%wx{r}", f"%wy{s}", f"%u{r}_{s}") for r, s in sums),
        "  br label %done",
        "done:",
        *(f"  %e{r}_{s} = phi {of.kind} [%u{r}_{s}, %behind], [%r{r}_{s}, %rest]" for r, s in sums),
        *_dots_written(of, m, sums, has_places),
    ]
    return "\n".join([*lines, "  ret void", "}", ""])


def _beginnings(of, m, n, has_places):
    """%x0, %x1..., %y0...: where the rows begin."""
    lines = []
    for r in range(m):
        lines += [f"  %x_at{r} = mul i64 %x_step, {r}", of.address(f"%x{r}", "%x", f"%x_at{r}")]
    for r in range(n):
        if has_places:
            lines += [
                f"  %place{r} = getelementptr i64, ptr %places, i64 {r}",
                f"  %y_at{r} = load i64, ptr %place{r}",
            ]
        else:
            lines.append(f"  %y_at{r} = mul i64 %y_step, {r}")
        lines.append(of.address(f"%y{r}", "%y", f"%y_at{r}"))
    return lines


def _dots_written(of, m, sums, is_added):
    """The lanes of each sum added up, and stored or added to what is there."""
    lines = []
    for r in range(m):
        lines += [f"  %z_at{r} = mul i64 %z_step, {r}", of.address(f"%z{r}", "%z", f"%z_at{r}")]
    for r, s in sums:
        lines += [
            f"  %f{r}_{s} = call reassoc {of.real} @llvm.vector.reduce.fadd.{of.suffix}("
            f"{of.real} -0.0, {of.kind} %e{r}_{s})",
            of.address(f"%o{r}_{s}", f"%z{r}", s),
        ]
        if is_added:
            lines += [
                f"  %old{r}_{s} = load {of.real}, ptr %o{r}_{s}",
                f"  %new{r}_{s} = fadd {of.real} %old{r}_{s}, %f{r}_{s}",
            ]
        lines.append(f"  store {of.real} %{'new' if is_added else 'f'}{r}_{s}, ptr %o{r}_{s}")
    return lines
