"""What lies around library calls for matrices: layouts, triangles, pivots, verdicts.

LAPACK wants columns behind each other, gives pivots as int32 and says by a number for each matrix
what went wrong; operations have rows, several results packed in one array, and statuses.  Each
kernel here moves one such thing, a thread for each number.  A complex number is two `parts`.

Offsets `at` and steps from one matrix of a batch to the next count numbers.
"""

from __future__ import annotations

from tapejit.codegen.cuda.words import cuda, eps, int64, number

# ---------------------------------------------------------------- layouts


def transpose(x, y, rows, columns, x_at, x_step, y_at, y_step, parts, size):
    """Matrices whose rows lie behind each other, with their columns behind each other."""
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        rest = e // parts
        unit = rest // (rows * columns)
        inside = rest - unit * rows * columns
        c = inside // rows
        r = inside - c * rows
        source = x_at + unit * x_step + r * columns + c
        target = y_at + unit * y_step + inside
        y[target * parts + e % parts] = x[source * parts + e % parts]


def move(x, y, length, x_at, x_step, y_at, y_step, sign, parts, size):
    """A run of numbers of each matrix; sign: -1 for their conjugates."""
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        rest = e // parts
        unit = rest // length
        inside = rest - unit * length
        source, target = x_at + unit * x_step + inside, y_at + unit * y_step + inside
        value = x[source * parts + e % parts]
        if e % parts == 1 and sign < 0:
            value = -value
        y[target * parts + e % parts] = value


def place_reals(x, y, length, y_at, y_step, parts, size):
    """Real numbers behind each other, as numbers of so many parts."""
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        rest = e // parts
        unit = rest // length
        value = number(0)
        if e % parts == 0:
            value = number(x[rest])
        y[(y_at + unit * y_step + rest - unit * length) * parts + e % parts] = value


def place_identity(y, n, parts, size):
    """Identities."""
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        rest = e // parts
        value = number(0)
        if e % parts == 0 and rest // n % n == rest % n:
            value = number(1)
        y[e] = value


def clear_above(y, n, parts, size):
    """Zeros above the diagonal."""
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        rest = e // parts
        if rest % n > rest // n % n:
            y[e] = number(0)


def take_upper(x, y, rows, columns, high, x_step, y_at, y_step, parts, size):
    """The upper triangles of matrices of `high` rows that lie by columns; rows from now on."""
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        rest = e // parts
        unit = rest // (rows * columns)
        inside = rest - unit * rows * columns
        r = inside // columns
        c = inside - r * columns
        value = number(0)
        if r <= c:
            value = x[(unit * x_step + c * high + r) * parts + e % parts]
        y[(y_at + unit * y_step + inside) * parts + e % parts] = value


# ---------------------------------------------------------------- pivots


def take_pivots(x, pivots, length, x_at, x_step, parts, size):
    """Pivots that were stored as numbers."""
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        unit = e // length
        pivots[e] = int64(x[(x_at + unit * x_step + e - unit * length) * parts])


# ---------------------------------------------------------------- verdicts


def refuse_failures(info, status, units):
    """A status from what a library says of each matrix."""
    for unit in range(cuda.grid(1), units, cuda.gridsize(1)):
        if info[unit] != 0:
            status[0] = 1


def refuse_zero_pivots(factors, status, n, step, parts, size):
    """A status from the diagonals of triangles that lie by rows or by columns."""
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        unit = e // n
        i = e - unit * n
        place = (unit * step + i * n + i) * parts
        if factors[place] == 0 and factors[place + parts - 1] == 0:
            status[0] = 1


# ---------------------------------------------------------------- vectors of equal values

TURNS = 3


def spread(k, turn):
    """A number in [-1/2, 1/2) that looks drawn: an integer's bits, mixed."""
    bits = (int64(k + 1) * 747796405 + int64(turn + 1) * 2891336453) % 4294967296
    bits = (bits ^ (bits >> 15)) * 277803737 % 4294967296
    bits = bits ^ (bits >> 13)
    return number(bits) / number(4294967296.0) - number(0.5)


def turn_equal(
    values, x, n, v_at, v_step, v_parts, lines, line_step, step, x_at, x_step, sign, parts, size
):
    """Mix the vectors of equal values by reflections that only their number tells apart.

    values are sorted.  A thread has one of the `lines` that cross all vectors; its number k lies
    at k times `step`.  sign: -1 for vectors that are stored conjugated.
    """
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        unit = e // lines
        line = (x_at + unit * x_step + (e - unit * lines) * line_step) * parts
        first = (v_at + unit * v_step) * v_parts
        largest = max(abs(values[first]), abs(values[first + (n - 1) * v_parts]))
        limit = largest * number(8 * n) * eps
        begin = 0
        while begin < n:
            end = begin + 1
            while end < n and (
                abs(values[first + end * v_parts] - values[first + (end - 1) * v_parts]) <= limit
            ):
                end += 1
            if end > begin + 1:
                for turn in range(TURNS):
                    reflect(
                        x, line + begin * step * parts, step * parts, end - begin, turn, sign, parts
                    )
            begin = end


def reflect(x, at, step, length, turn, sign, parts):
    """A line c of numbers, times 1 - 2 u u^H / u^H u."""
    whole, re, im = number(0), number(0), number(0)
    for k in range(length):
        a = spread(k, turn)
        whole += a * a
        re += x[at + k * step] * a
        if parts == 2:
            b = spread(k, turn + TURNS)
            whole += b * b
            re -= x[at + k * step + 1] * b * number(sign)
            im += x[at + k * step + 1] * a + x[at + k * step] * b * number(sign)
    re, im = number(2) * re / whole, number(2) * im / whole
    for k in range(length):
        a = spread(k, turn)
        if parts == 2:
            b = spread(k, turn + TURNS) * number(sign)
            x[at + k * step] -= re * a + im * b
            x[at + k * step + 1] -= im * a - re * b
        else:
            x[at + k * step] -= re * a
    return 0


# ---------------------------------------------------------------- eigenvectors of real matrices


def join_vectors(values, vectors, y, n, y_at, y_step, size):
    """LAPACK's eigenvectors of real matrices, by columns, as complex rows.

    Of conjugate eigenvalues, that with the positive imaginary part first, the columns are the real
    and the imaginary part of the first one's vector.
    """
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        unit = e // (n * n)
        inside = e - unit * n * n
        r = inside // n
        c = inside - r * n
        turn = values[(unit * n + c) * 2 + 1]
        column = unit * n * n + c * n + r
        re, im = vectors[column], number(0)
        if turn > 0:
            im = vectors[column + n]
        elif turn < 0:
            re, im = vectors[column - n], -vectors[column]
        target = (y_at + unit * y_step + inside) * 2
        y[target] = re
        y[target + 1] = im
