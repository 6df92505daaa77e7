"""Matrix products with the machine interface of a kernel, over NumPy's BLAS.

Never executed as Python: `codegen.words` prints it as IR (see there for `word[p]` and `...`).
`gemm` and `gemv` are defined in blas.py's text, for one dtype; places are in elements.

    args   x, y, z: z = x @ y
    meta   as ops/loops/products.py writes it; a unit is one product of a batch
"""

from __future__ import annotations

from tapejit.codegen.words import i64, ptr, stack, word

ROWS = 4  # of a tile of dot products
BLOCK_ROWS = 8

# fmt: off
(TURNED_X, TURNED_Y, M, N, K, STEP_X, STEP_Y, BATCH_X, BATCH_Y, HAS_PLACES, PLACES) = range(
    0, 88, 8
)
# fmt: on
COLUMNS, SIZE = BATCH_X, BATCH_Y  # of dots: columns of a unit, bytes of an element
# of blocks: bytes of an element, elements of a vector, bytes of y for each row of x
SIZE_OF_BLOCKS, LANES, SHARE = PLACES, PLACES + 8, PLACES + 16


def gemm(
    turned_x: i64, turned_y: i64, m: i64, n: i64, k: i64,
    x: ptr, x_at: i64, x_step: i64, y: ptr, y_at: i64, y_step: i64,
    z: ptr, z_at: i64, z_step: i64, adds: i64,
) -> None:  # fmt: skip
    """z = x @ y, or added to it; a turned operand is the transpose of a row-major matrix."""
    ...


def gemv(
    turned: i64, m: i64, n: i64, a: ptr, a_at: i64, a_step: i64, x: ptr, x_at: i64, x_step: i64,
    z: ptr, z_at: i64,
) -> None:  # fmt: skip
    """z = a @ x, a row-major (m, n) in memory, or its transpose."""
    ...


def tile11(x: ptr, x_step: i64, y: ptr, y_step: i64, z: ptr, z_step: i64, k: i64) -> None:
    """Dot products of 1 and 1 rows (codegen/tiles.py)."""
    ...


def tile14(x: ptr, x_step: i64, y: ptr, y_step: i64, z: ptr, z_step: i64, k: i64) -> None:
    """Dot products of 1 and 4 rows (codegen/tiles.py)."""
    ...


def tile41(x: ptr, x_step: i64, y: ptr, y_step: i64, z: ptr, z_step: i64, k: i64) -> None:
    """Dot products of 4 and 1 rows (codegen/tiles.py)."""
    ...


def tile44(x: ptr, x_step: i64, y: ptr, y_step: i64, z: ptr, z_step: i64, k: i64) -> None:
    """Dot products of 4 and 4 rows (codegen/tiles.py)."""
    ...


def block11(a: ptr, a_row: i64, a_k: i64, b: ptr, b_k: i64, k: i64, z: ptr, z_step: i64) -> None:
    """1 rows of 1 vectors (codegen/tiles.py)."""
    ...


def block12(a: ptr, a_row: i64, a_k: i64, b: ptr, b_k: i64, k: i64, z: ptr, z_step: i64) -> None:
    """1 rows of 2 vectors (codegen/tiles.py)."""
    ...


def block13(a: ptr, a_row: i64, a_k: i64, b: ptr, b_k: i64, k: i64, z: ptr, z_step: i64) -> None:
    """1 rows of 3 vectors (codegen/tiles.py)."""
    ...


def block81(a: ptr, a_row: i64, a_k: i64, b: ptr, b_k: i64, k: i64, z: ptr, z_step: i64) -> None:
    """8 rows of 1 vectors (codegen/tiles.py)."""
    ...


def block82(a: ptr, a_row: i64, a_k: i64, b: ptr, b_k: i64, k: i64, z: ptr, z_step: i64) -> None:
    """8 rows of 2 vectors (codegen/tiles.py)."""
    ...


def block83(a: ptr, a_row: i64, a_k: i64, b: ptr, b_k: i64, k: i64, z: ptr, z_step: i64) -> None:
    """8 rows of 3 vectors (codegen/tiles.py)."""
    ...


def turn_rows(x: ptr, x_step: i64, k: i64, z: ptr, z_step: i64) -> None:
    """8 rows as columns (codegen/tiles.py)."""
    ...


def turn_lanes(x: ptr, x_step: i64, k: i64, z: ptr, z_step: i64) -> None:
    """As many rows as a vector has lanes, as columns (codegen/tiles.py)."""
    ...


def fetch_ahead(x: ptr, n_bytes: i64) -> None:
    """Into the second cache, while something else is computed (codegen/tiles.py)."""
    ...


def copy_rows(x: ptr, x_step: i64, k: i64, z: ptr) -> None:
    """8 numbers of each of k columns (codegen/tiles.py)."""
    ...


def products(args, meta, begin, end):
    x = word[args]
    y = word[args + 8]
    z = word[args + 16]
    m = word[meta + M]
    n = word[meta + N]
    k = word[meta + K]
    turned_x = word[meta + TURNED_X]
    turned_y = word[meta + TURNED_Y]
    step_x = word[meta + STEP_X]
    step_y = word[meta + STEP_Y]
    unit = begin
    while unit < end:
        x_at = unit * word[meta + BATCH_X]
        y_at = unit * word[meta + BATCH_Y]
        if word[meta + HAS_PLACES] != 0:
            x_at = word[meta + PLACES + 16 * unit]
            y_at = word[meta + PLACES + 16 * unit + 8]
        z_at = unit * m * n
        if n == 1 and turned_y == 0:  # y: k numbers, step_y apart
            if turned_x == 0:
                gemv(0, m, k, x, x_at, step_x, y, y_at, step_y, z, z_at)
            else:
                gemv(1, k, m, x, x_at, step_x, y, y_at, step_y, z, z_at)
        elif m == 1 and turned_x == 1:  # x: k numbers, step_x apart
            if turned_y == 0:
                gemv(1, k, n, y, y_at, step_y, x, x_at, step_x, z, z_at)
            else:
                gemv(0, n, k, y, y_at, step_y, x, x_at, step_x, z, z_at)
        else:
            gemm(
                turned_x, turned_y, m, n, k,
                x, x_at, step_x, y, y_at, step_y, z, z_at, n, 0,
            )  # fmt: skip
        unit = unit + 1
    return 0


def dots(args, meta, begin, end):
    """z = x @ y', both along k; a unit is meta's number of columns."""
    size = word[meta + SIZE]
    m = word[meta + M]
    n = word[meta + N]
    last = end * word[meta + COLUMNS]
    if last > n:
        last = n
    j = begin * word[meta + COLUMNS]
    while j < last:
        columns = ROWS
        if last - j < ROWS:
            columns = 1
        y = word[args + 8] + j * word[meta + STEP_Y] * size
        i = 0
        while i < m:
            rows = ROWS
            if m - i < ROWS:
                rows = 1
            x = word[args] + i * word[meta + STEP_X] * size
            z = word[args + 16] + (i * n + j) * size
            tile(rows, columns, x, y, z, meta)
            i = i + rows
        j = j + columns
    return 0


def tile(rows, columns, x, y, z, meta):
    x_step = word[meta + STEP_X]
    y_step = word[meta + STEP_Y]
    n = word[meta + N]
    k = word[meta + K]
    if rows == 1:
        if columns == 1:
            tile11(x, x_step, y, y_step, z, n, k)
        else:
            tile14(x, x_step, y, y_step, z, n, k)
    elif columns == 1:
        tile41(x, x_step, y, y_step, z, n, k)
    else:
        tile44(x, x_step, y, y_step, z, n, k)
    return 0


def blocks(args, meta, begin, end):
    """z = x @ y as `products`, for a small y whose columns are whole vectors: in place of BLAS.

    8 rows of x are packed, and all of y if it is turned.  A batch's matrices come from the third
    cache or from farther: the next unit's are fetched while this one's are multiplied, which is
    worth a tenth of the time.
    """
    size = word[meta + SIZE_OF_BLOCKS]
    lanes = word[meta + LANES]
    m = word[meta + M]
    n = word[meta + N]
    k = word[meta + K]
    share = word[meta + SHARE]
    deep = (k + lanes - 1) & -lanes
    rows = stack(BLOCK_ROWS * deep * size)
    y_step = word[meta + STEP_Y]
    turned = 0
    if word[meta + TURNED_Y] != 0:
        turned = stack(n * deep * size)
        y_step = n
    unit = begin
    while unit < end:
        x = word[args] + unit * word[meta + BATCH_X] * size
        y = word[args + 8] + unit * word[meta + BATCH_Y] * size
        z = word[args + 16] + unit * m * n * size
        next_x = x + word[meta + BATCH_X] * size
        next_y = y + word[meta + BATCH_Y] * size
        if turned != 0:
            turn_columns(y, turned, meta)
            y = turned
        i = 0
        while i < m:
            height = BLOCK_ROWS
            if m - i < BLOCK_ROWS:
                height = 1
            fetch_ahead(z + (i + height) * n * size, height * n * size)
            fetch_ahead(next_x + i * k * size, height * k * size)
            fetch_ahead(next_y + i * share, height * share)
            rows_of_blocks(height, i, x, rows, y, y_step, z, meta)
            i = i + height
        unit = unit + 1
    return 0


def turn_columns(y, turned, meta):
    """y as rows of n numbers, from columns."""
    size = word[meta + SIZE_OF_BLOCKS]
    lanes = word[meta + LANES]
    n = word[meta + N]
    step = word[meta + STEP_Y]
    j = 0
    while j < n:
        turn_lanes(y + j * step * size, step, word[meta + K], turned + j * size, n)
        j = j + lanes
    return 0


def rows_of_blocks(height, i, x, rows, y, y_step, z, meta):
    """8 rows of z, or one."""
    size = word[meta + SIZE_OF_BLOCKS]
    lanes = word[meta + LANES]
    n = word[meta + N]
    k = word[meta + K]
    step = word[meta + STEP_X]
    a = x + i * step * size
    a_k = 1
    if word[meta + TURNED_X] != 0:
        a = x + i * size
        a_k = step
    if height == BLOCK_ROWS:
        if word[meta + TURNED_X] != 0:
            copy_rows(a, step, k, rows)
        else:
            turn_rows(a, step, k, rows, BLOCK_ROWS)
        a = rows
        a_k = BLOCK_ROWS
    j = 0
    while j < n:
        vectors = 3
        if n - j < 2 * lanes:
            vectors = 1
        elif n - j < 3 * lanes or n - j == 4 * lanes:
            vectors = 2
        block(height, vectors, a, a_k, y + j * size, y_step, k, z + (i * n + j) * size, n)
        j = j + vectors * lanes
    return 0


def block(height, vectors, a, a_k, y, y_step, k, z, n):
    if height == BLOCK_ROWS:
        if vectors == 3:
            block83(a, 1, a_k, y, y_step, k, z, n)
        elif vectors == 2:
            block82(a, 1, a_k, y, y_step, k, z, n)
        else:
            block81(a, 1, a_k, y, y_step, k, z, n)
    elif vectors == 3:
        block13(a, 1, a_k, y, y_step, k, z, n)
    elif vectors == 2:
        block12(a, 1, a_k, y, y_step, k, z, n)
    else:
        block11(a, 1, a_k, y, y_step, k, z, n)
    return 0
