"""Reading and writing at computed places on a GPU, with the same bits on every card.

Reading: a thread is an element of the result.  Writing is a fold: element by element of the result,
what is put there is combined in the order of the places (a sum, a product, an extreme, or the last
one), so no two threads may meet:

    few places       a thread is an element of the result, and looks at each place
    many lines       scatter along an axis: a thread is a line, and goes along it
    else             places are sorted (loop_sorting.py): equal ones are neighbours, in their order.
                     A thread folds a CHUNK of them, for one column; runs that lie in several are
                     put together behind it, by the chunk in which they begin

Atomic additions, which other libraries use, would be in any order.

An element is x[row] of (length, inner), or of (length, width, inner) where two indices make a
place; along an axis memory is seen as (outer, length, inner).  A place out of range sets the
status, is -1 from there on, and neither read nor written.
"""

from __future__ import annotations

import math

from tapejit.codegen.cuda.loop_sorting import sort_lines
from tapejit.codegen.cuda.texts import Recipe, integer_for, number_of
from tapejit.codegen.cuda.words import begun, combine, cuda, index, int64, number
from tapejit.plan import LoopStep

FEW = 16
"""Places of which each element of the result looks at all."""

LINES = 1024
"""Lines that keep a card busy, with a thread for each."""

CHUNK = 32
"""Sorted places that one thread folds."""

# ---------------------------------------------------------------- places


def place_of(rows, columns, k, length, width, status):
    """Place k; two indices make one where there is a width."""
    at = int64(rows[k])
    if at < 0:
        at += length
    is_wrong = at < 0 or at >= length
    if width > 0:
        column = int64(columns[k])
        if column < 0:
            column += width
        is_wrong = is_wrong or column < 0 or column >= width
        at = at * width + column
    if is_wrong:
        status[0] = 1
        at = int64(-1)
    return index(at)


def read_rows(x, rows, columns, y, status, length, width, inner, size):
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        row = i // inner
        at = place_of(rows, columns, row, length, width, status)
        if at >= 0:
            y[i] = x[at * inner + i - row * inner]


def read_along(x, places, y, status, length, n, inner, size):
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        row = i // inner
        at = place_of(places, places, i, length, 0, status)
        if at >= 0:
            y[i] = x[(row // n * length + at) * inner + i - row * inner]


# ---------------------------------------------------------------- folds


def add(a, b):
    return a + b


def multiply(a, b):
    return a * b


def larger(a, b):
    return b if b > a or b != b else a


def smaller(a, b):
    return b if b < a or b != b else a


def is_above(a, b):
    """Whether a complex number is larger, as NumPy has it: by its real part first."""
    return a.real > b.real or (a.real == b.real and a.imag > b.imag)


def larger_complex(a, b):
    return b if a == a and (is_above(b, a) or b != b) else a


def smaller_complex(a, b):
    return b if a == a and (is_above(a, b) or b != b) else a


def later(a, b):
    return b


def zero(base, i):
    return number(0)


def element(base, i):
    return number(base[i])


def begin(base, y, size):
    """What the result has where nothing is put."""
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        y[i] = begun(base, i)


def fold_few(base, x, rows, columns, y, status, n, length, width, inner, is_along, size):
    cells = length * max(width, 1)
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        row = i // inner
        j = i - row * inner
        outer = row // cells
        total = begun(base, i)
        for k in range(n):
            source = (outer * n + k) * inner + j
            at = place_of(rows, columns, source if is_along else k, length, width, status)
            if at == row - outer * cells:
                total = combine(total, number(x[source]))
        y[i] = total


def fold_lines(x, places, y, status, n, length, inner, lines):
    for line in range(cuda.grid(1), lines, cuda.gridsize(1)):
        outer = line // inner
        j = line - outer * inner
        for k in range(n):
            source = (outer * n + k) * inner + j
            at = place_of(places, places, source, length, 0, status)
            if at >= 0:
                to = (outer * length + at) * inner + j
                y[to] = combine(number(y[to]), number(x[source]))


def write_keys(rows, columns, keys, status, n, length, width, inner, is_along, size):
    """Places as numbers to sort by; along an axis, of elements."""
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        at = place_of(rows, columns, i, length, width, status)
        if is_along and at >= 0:
            row = i // inner
            at = (row // n * length + at) * inner + i - row * inner
        keys[i] = at


def fold_chunks(x, keys, order, y, heads, count, inner, tasks):
    """Runs of equal keys in each chunk; what belongs to a run of an earlier one goes to heads."""
    for task in range(cuda.grid(1), tasks, cuda.gridsize(1)):
        chunk = task // inner
        j = task - chunk * inner
        start = chunk * CHUNK
        key = index(keys[start])
        is_own = True
        if start > 0:
            is_own = keys[start - 1] != key
        total = number(x[index(order[start]) * inner + j])
        for i in range(start + 1, min(start + CHUNK, count)):
            value = number(x[index(order[i]) * inner + j])
            if keys[i] == key:
                total = combine(total, value)
            else:
                leave(y, heads, key * inner + j, task, is_own, total)
                key, total, is_own = index(keys[i]), value, True
        leave(y, heads, key * inner + j, task, is_own, total)


def leave(y, heads, at, task, is_own, total):
    if not is_own:
        heads[task] = total
    elif at >= 0:
        y[at] = combine(number(y[at]), total)


def fold_heads(keys, y, heads, count, inner, tasks):
    """The heads of later chunks, by the chunk in which their run begins."""
    for task in range(cuda.grid(1), tasks, cuda.gridsize(1)):
        chunk = task // inner
        start = chunk * CHUNK
        behind = start + CHUNK
        goes_on = False
        if behind < count:
            key = index(keys[behind])
            begins_here = start == 0 or keys[start] != key or keys[start - 1] != key
            goes_on = key >= 0 and keys[behind - 1] == key and begins_here
        if goes_on:
            to = key * inner + task - chunk * inner
            total = number(y[to])
            head = task
            while goes_on:
                head += inner
                total = combine(total, number(heads[head]))
                behind += CHUNK
                goes_on = behind < count and keys[behind] == key
            y[to] = total


def read_last(x, keys, order, y, count, inner, size):
    """What is read where a place is the last of its kind; elsewhere 0."""
    for task in range(cuda.grid(1), size, cuda.gridsize(1)):
        i = task // inner
        j = task - i * inner
        key = index(keys[i])
        is_last = True
        if i + 1 < count:
            is_last = keys[i + 1] != key
        if key >= 0:
            y[index(order[i]) * inner + j] = number(x[key * inner + j]) if is_last else number(0)


# ---------------------------------------------------------------- launches


def read(recipe: Recipe, step: LoopStep) -> None:
    """index: one or two index arrays."""
    (x, *_), (length, *width, inner) = recipe.views, step.work.meta
    size = math.prod(step.views[-1].shape)
    recipe.launch(
        read_rows, x, *_pair(recipe.views[1:-1]), recipe.views[-1], recipe.status, length,
        *(width or [0]), inner, size, n=size,
    )  # fmt: skip


def gather(recipe: Recipe, step: LoopStep) -> None:
    """gather"""
    (length, n, inner), size = step.work.meta, math.prod(step.views[-1].shape)
    recipe.launch(read_along, *recipe.views, recipe.status, length, n, inner, size, n=size)


def index_add(recipe: Recipe, step: LoopStep) -> None:
    """index_add: sums on zeros."""
    x, *indices, _ = recipe.views
    _fold_rows(recipe, step, x, x, indices, {"combine": add, "begun": zero})


def index_put(recipe: Recipe, step: LoopStep) -> None:
    """index_put: the last of each place."""
    base, value, *indices, _ = recipe.views
    _fold_rows(recipe, step, base, value, indices, {"combine": later, "begun": element})


def index_combine(recipe: Recipe, step: LoopStep) -> None:
    """index_combine: products or extremes with what is there."""
    base, value, *indices, _ = recipe.views
    is_complex = number_of(base.dtype).startswith("complex")
    extremes = (larger_complex, smaller_complex) if is_complex else (larger, smaller)
    how = (multiply, *extremes)[step.work.meta[4]]
    _fold_rows(recipe, step, base, value, indices, {"combine": how, "begun": element})


def scatter_add(recipe: Recipe, step: LoopStep) -> None:
    """scatter_add"""
    (x, places, y), status = recipe.views, recipe.status
    length, n, inner, _ = step.work.meta
    size, count = math.prod(step.views[2].shape), math.prod(step.views[0].shape)
    lines = count // n
    words = {"number": number_of(y.dtype), "combine": add, "begun": zero}
    if n <= FEW:
        recipe.launch(
            fold_few, x, x, places, places, y, status, n, length, 0, inner, 1, size, n=size, **words
        )
        return
    recipe.launch(begin, x, y, size, n=size, **words)
    if lines >= LINES:
        recipe.launch(fold_lines, x, places, y, status, n, length, inner, lines, n=lines, **words)
        return
    keys = recipe.area(integer_for(size), count)
    recipe.launch(write_keys, places, places, keys, status, n, length, 0, inner, 1, count, n=count)
    _fold_sorted(recipe, x, keys, y, count, 1, words)


def index_last(recipe: Recipe, step: LoopStep) -> None:
    """index_last: what index_put would take from each of its places."""
    (x, rows, y), (count, length, inner) = recipe.views, step.work.meta
    keys, size = recipe.area(integer_for(length), count), count * inner
    recipe.launch(
        write_keys, rows, rows, keys, recipe.status, count, length, 0, 1, 0, count, n=count
    )
    keys, order = _in_order(recipe, keys, count)
    recipe.launch(
        read_last, x, keys, order, y, count, inner, size, n=size, number=number_of(x.dtype)
    )


def _pair(indices):
    """Two indices, of which the second is not read where there is one."""
    return indices[0], indices[-1]


def _fold_rows(recipe, step, base, x, indices, words):
    y, views = recipe.views[-1], step.views
    rows, columns = _pair(indices)
    n_axes = len(indices)
    shape = views[-1].shape
    length, width = shape[0], shape[1] if n_axes == 2 else 0
    inner, size = math.prod(shape[n_axes:]), math.prod(shape)
    count = math.prod(views[-2].shape)
    words = {**words, "number": number_of(y.dtype)}
    if count <= FEW:
        recipe.launch(
            fold_few, base, x, rows, columns, y, recipe.status, count, length, width, inner, 0,
            size, n=size, **words,
        )  # fmt: skip
        return
    recipe.launch(begin, base, y, size, n=size, **words)
    keys = recipe.area(integer_for(size), count)
    recipe.launch(
        write_keys, rows, columns, keys, recipe.status, count, length, width, 1, 0, count, n=count
    )
    _fold_sorted(recipe, x, keys, y, count, inner, words)


def _fold_sorted(recipe, x, keys, y, count, inner, words):
    """Rows of x into the result at their keys."""
    keys, order = _in_order(recipe, keys, count)
    chunks = -(-count // CHUNK)
    heads = recipe.area(y.dtype, chunks * inner)
    sizes = count, inner, chunks * inner
    recipe.launch(fold_chunks, x, keys, order, y, heads, *sizes, n=chunks * inner, **words)
    if chunks > 1:
        recipe.launch(fold_heads, keys, y, heads, *sizes, n=chunks * inner, **words)


def _in_order(recipe, keys, count):
    """Keys in order, and where each was."""
    made = recipe.area(keys.dtype, count), recipe.area(integer_for(count), count)
    sort_lines(recipe, keys, *made, count, 1)
    return made
