"""Reading and adding at computed places.

Two kinds.  Rows: one place leads to `inner` neighbours (x[i] of a matrix); two index arrays of one
shape are two columns of the place.  Along an axis: each element has its own place (gather,
scatter_add), memory seen as (outer, axis, inner).

What adds up goes over all places in their order in one unit, so sums have the same bits on any
number of threads; units are parts of the result that no two places share: blocks of columns, and
outer axes.

A place out of range sets the status; where one element belongs to it (inner is 1) it is read at 0
meanwhile, since a loop without branches is one of vectors, with gather instructions.
"""

from __future__ import annotations

import math

from tapejit.registry import Work
from tapejit.shapes import folded

COLUMNS = 256
"""Elements of a row that one unit adds to."""

# ---------------------------------------------------------------- one place


def from_start(place, length):
    """A place, one counted from the end brought to where it counts from the start."""
    return place + length if place < 0 else place


def is_outside(at, length):
    return at < 0 or at >= length


# ---------------------------------------------------------------- rows, one index


def read_rows(args, meta, begin, end):
    x, places, y, status = args
    length, inner = meta[0], meta[1]
    if inner == 1:
        if read_elements(x, 0, length, places, y, begin, end):
            status[0] = 1
        return
    for i in range(begin, end):
        at = from_start(places[i], length)
        if is_outside(at, length):
            status[0] = 1
        else:
            for j in range(inner):
                y[i * inner + j] = x[at * inner + j]


def read_elements(x, first, length, places, y, begin, end):
    """y[i] = x[first + places[i]]; whether a place is out of range."""
    wrong = 0
    for i in range(begin, end):
        at = from_start(places[i], length)
        is_wrong = is_outside(at, length)
        wrong |= is_wrong
        y[i] = x[first + (0 if is_wrong else at)]
    return wrong


def add_elements(x, places, begin, end, y, first, length):
    """y[first + places[i]] += x[i], on zeros; whether a place is out of range."""
    for i in range(first, first + length):
        y[i] = 0
    wrong = 0
    for i in range(begin, end):
        at = from_start(places[i], length)
        if is_outside(at, length):
            wrong = 1
        else:
            y[first + at] += x[i]
    return wrong


def add_rows(args, meta, begin, end):
    x, places, y, status = args
    count, length, inner, width = meta[0], meta[1], meta[2], meta[3]
    if inner == 1:
        if add_elements(x, places, 0, count, y, 0, length):
            status[0] = 1
        return
    for unit in range(begin, end):
        first = unit * width
        last = min(first + width, inner)
        for i in range(length):
            for j in range(i * inner + first, i * inner + last):
                y[j] = 0
        for i in range(count):
            at = from_start(places[i], length)
            if is_outside(at, length):
                status[0] = 1
            else:
                for j in range(first, last):
                    y[at * inner + j] += x[i * inner + j]


def put_rows(args, meta, begin, end):
    x, value, places, y, status = args
    count, length, inner, width = meta[0], meta[1], meta[2], meta[3]
    for unit in range(begin, end):
        first = unit * width
        last = min(first + width, inner)
        for i in range(length):
            for j in range(i * inner + first, i * inner + last):
                y[j] = x[j]
        for i in range(count):
            at = from_start(places[i], length)
            if is_outside(at, length):
                status[0] = 1
            else:
                for j in range(first, last):
                    y[at * inner + j] = value[i * inner + j]


def read_last_rows(args, meta, begin, end):
    """As read_rows, but 0 where a later place is the same."""
    x, places, y, writer, status = args
    count, length, inner = meta[0], meta[1], meta[2]
    for i in range(count):
        at = from_start(places[i], length)
        if is_outside(at, length):
            status[0] = 1
        else:
            writer[at] = i
    for i in range(count):
        at = from_start(places[i], length)
        if not is_outside(at, length):
            if writer[at] == i:
                for j in range(inner):
                    y[i * inner + j] = x[at * inner + j]
            else:
                for j in range(inner):
                    y[i * inner + j] = 0


def combine_rows(args, meta, begin, end):
    """Products, maxima or minima, as meta[4] says."""
    x, value, places, y, status = args
    count, length, inner, width, how = meta[0], meta[1], meta[2], meta[3], meta[4]
    for unit in range(begin, end):
        first = unit * width
        last = min(first + width, inner)
        for i in range(length):
            for j in range(i * inner + first, i * inner + last):
                y[j] = x[j]
        for i in range(count):
            at = from_start(places[i], length)
            if is_outside(at, length):
                status[0] = 1
            elif how == 0:
                for j in range(first, last):
                    y[at * inner + j] *= value[i * inner + j]
            elif how == 1:
                for j in range(first, last):
                    v = value[i * inner + j]
                    if v > y[at * inner + j] or v != v:
                        y[at * inner + j] = v
            else:
                for j in range(first, last):
                    v = value[i * inner + j]
                    if v < y[at * inner + j] or v != v:
                        y[at * inner + j] = v


# ---------------------------------------------------------------- rows, two indices


def read_pairs(args, meta, begin, end):
    x, rows, columns, y, status = args
    length, width, inner = meta[0], meta[1], meta[2]
    for i in range(begin, end):
        row, column = from_start(rows[i], length), from_start(columns[i], width)
        if is_outside(row, length) | is_outside(column, width):
            status[0] = 1
        else:
            at = (row * width + column) * inner
            for j in range(inner):
                y[i * inner + j] = x[at + j]


def add_pairs(args, meta, begin, end):
    x, rows, columns, y, status = args
    count, length, width, inner = meta[0], meta[1], meta[2], meta[3]
    for _ in range(begin, end):
        for j in range(length * width * inner):
            y[j] = 0
        for i in range(count):
            row, column = from_start(rows[i], length), from_start(columns[i], width)
            if is_outside(row, length) | is_outside(column, width):
                status[0] = 1
            else:
                at = (row * width + column) * inner
                for j in range(inner):
                    y[at + j] += x[i * inner + j]


# ---------------------------------------------------------------- rows, their work


def _are_places(indices):
    return all(index.dtype.kernel in ("i64", "i32") for index in indices)


def read_work(operands, result):
    """index: x[i] or x[i, j]."""
    x, *indices = operands
    n = len(indices)
    if n > 2 or indices[0].shape != indices[-1].shape or not _are_places(indices):
        return None
    count, inner = math.prod(indices[0].shape), math.prod(x.shape[n:])
    ns = count * (1.5 + 0.2 * inner)
    return Work((read_rows, read_pairs)[n - 1], (*x.shape[:n], inner), count, ns)


def add_work(operands, result, shape):
    """index_add: the transpose of index."""
    _, *indices = operands
    n = len(indices)
    if n > 2 or indices[0].shape != indices[-1].shape or not _are_places(indices):
        return None
    count, inner = math.prod(indices[0].shape), math.prod(shape[n:])
    ns = count * (2 + 0.3 * inner) + 0.1 * math.prod(shape)
    if n == 2:
        return Work(add_pairs, (count, *shape[:2], inner), 1, ns)
    return Work(add_rows, (count, shape[0], inner, COLUMNS), -(-inner // COLUMNS), ns)


def put_work(operands, result):
    """index_put: x with x[i] = value."""
    x, value, *indices = operands
    if len(indices) != 1 or value.shape != (*indices[0].shape, *x.shape[1:]):
        return None
    if not _are_places(indices):
        return None
    count, inner = math.prod(indices[0].shape), math.prod(x.shape[1:])
    ns = count * (1.5 + 0.2 * inner) + 0.2 * math.prod(x.shape)
    return Work(put_rows, (count, x.shape[0], inner, COLUMNS), -(-inner // COLUMNS), ns)


def last_work(operands, result):
    """index_last: the transpose of index_put in its value."""
    x, *indices = operands
    if len(indices) != 1 or not _are_places(indices):
        return None
    count, inner = math.prod(indices[0].shape), math.prod(x.shape[1:])
    meta, ns = (count, x.shape[0], inner), count * (3.0 + 0.2 * inner)
    return Work(read_last_rows, meta, 1, ns, (("i64", x.shape[0]),))


COMBINED = ("prod", "amax", "amin")


def combine_work(operands, result, how):
    """index_combine: x with value multiplied in, or extremes kept."""
    found = put_work(operands, result)
    if found is None or operands[0].dtype.kernel == "bool":
        return None
    return found._replace(run=combine_rows, meta=(*found.meta, COMBINED.index(how)))


# ---------------------------------------------------------------- along an axis


def gather(args, meta, begin, end):
    """A unit is `inner` neighbours of the result."""
    x, places, y, status = args
    length, n, inner = meta[0], meta[1], meta[2]
    if inner == 1:
        unit = begin
        while unit < end:
            outer = unit // n
            behind = min(end, (outer + 1) * n)
            if read_elements(x, outer * length, length, places, y, unit, behind):
                status[0] = 1
            unit = behind
        return
    for unit in range(begin, end):
        outer = unit // n
        for j in range(inner):
            at = from_start(places[unit * inner + j], length)
            if is_outside(at, length):
                status[0] = 1
            else:
                y[unit * inner + j] = x[(outer * length + at) * inner + j]


def scatter_add(args, meta, begin, end):
    """A unit is a block of inner columns of one outer index."""
    x, places, y, status = args
    length, n, inner, width = meta[0], meta[1], meta[2], meta[3]
    blocks = (inner + width - 1) // width
    for unit in range(begin, end):
        outer = unit // blocks
        if inner == 1:
            first = outer * n
            if add_elements(x, places, first, first + n, y, outer * length, length):
                status[0] = 1
            continue
        first = (unit - outer * blocks) * width
        last = min(first + width, inner)
        for i in range(outer * length, (outer + 1) * length):
            for j in range(i * inner + first, i * inner + last):
                y[j] = 0
        for i in range(outer * n, (outer + 1) * n):
            for j in range(first, last):
                at = from_start(places[i * inner + j], length)
                if is_outside(at, length):
                    status[0] = 1
                else:
                    y[(outer * length + at) * inner + j] += x[i * inner + j]


def _agree(x, y, axis):
    """Whether two shapes differ along `axis` only."""
    return (*x[:axis], *x[axis + 1 :]) == (*y[:axis], *y[axis + 1 :])


def gather_work(operands, result, axis):
    """gather"""
    x, places = operands
    if not x.shape or not _are_places((places,)) or not _agree(x.shape, places.shape, axis):
        return None
    outer, n, inner = folded(places.shape, axis)
    return Work(gather, (x.shape[axis], n, inner), outer * n, 2.0 * outer * n * inner)


def scatter_work(operands, result, shape, axis):
    """scatter_add"""
    x, places = operands
    if not shape or x.shape != places.shape or not _agree(shape, x.shape, axis):
        return None
    if not _are_places((places,)):
        return None
    outer, n, inner = folded(x.shape, axis)
    blocks = -(-inner // COLUMNS)
    ns = outer * inner * (2.0 * n + 0.1 * shape[axis])
    return Work(scatter_add, (shape[axis], n, inner, COLUMNS), outer * blocks, ns)
