"""Tiles of dot products, printed as IR: z[i, j] = sum over k of x[i, k] * y[j, k].

A product x @ w' of few rows is bound by reading w, which a BLAS first copies into its own order: a
third of the time at 32 rows.  Both matrices run along k, so vectors of both are loaded where they
lie, and ROWS x ROWS sums are kept in registers; each is added up across its lanes in the end.

    void @tileRS(ptr x, i64 x_step, ptr y, i64 y_step, ptr z, i64 z_step, i64 k)

Start at `emit_tiles`; runtime/blas_code.py walks over a product with them.
"""

from __future__ import annotations

import itertools

ROWS = 4
"""16 sums and 8 loads for them: 24 of the 32 registers of AVX-512."""

_BYTES = {"float": 4, "double": 8}
_LETTER = {"float": "f32", "double": "f64"}


def emit_tiles(real: str, vector_bytes: int) -> str:
    """The tiles of ROWS or one row of each operand."""
    lanes = vector_bytes // _BYTES[real]
    vector, suffix = f"<{lanes} x {real}>", f"v{lanes}{_LETTER[real]}"
    head = (
        f"declare {vector} @llvm.fma.{suffix}({vector}, {vector}, {vector})\n"
        f"declare {vector} @llvm.masked.load.{suffix}.p0(ptr, i32, <{lanes} x i1>, {vector})\n"
        f"declare {real} @llvm.vector.reduce.fadd.{suffix}({real}, {vector})\n"
    )
    sizes = itertools.product((1, ROWS), repeat=2)
    return head + "".join(_tile(m, n, real, lanes, vector, suffix) for m, n in sizes)


def _tile(m, n, real, lanes, vector, suffix):
    sums = list(itertools.product(range(m), range(n)))
    lines = [
        f"define internal void @tile{m}{n}(ptr %x, i64 %x_step, ptr %y, i64 %y_step, ptr %z, "
        "i64 %z_step, i64 %k) nounwind {",
        "entry:",
        f"  %whole = and i64 %k, {-lanes}",
    ]
    for name, count in (("x", m), ("y", n)):
        for r in range(count):
            lines += [
                f"  %{name}_at{r} = mul i64 %{name}_step, {r}",
                f"  %{name}{r} = getelementptr {real}, ptr %{name}, i64 %{name}_at{r}",
            ]
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
            f"  store {real} %f{r}_{s}, ptr %o{r}_{s}",
        ]
    return "\n".join([*lines, "  ret void", "}", ""])


def _fma(result, x, y, z, vector, suffix):
    return (
        f"  {result} = call {vector} @llvm.fma.{suffix}({vector} {x}, {vector} {y}, {vector} {z})"
    )
