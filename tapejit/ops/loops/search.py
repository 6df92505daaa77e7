"""Binary search in sorted rows."""

from __future__ import annotations

import math

from tapejit.registry import Work


def searchsorted(args, meta, begin, end):
    """A unit is a number to place.  meta: edges in a row, numbers to a row of edges, 1 if right."""
    edges, values, places = args
    n, share, right = meta[0], meta[1], meta[2]
    for unit in range(begin, end):
        value = values[unit]
        row = unit // share * n
        low, high = 0, n
        while low < high:
            middle = (low + high) // 2
            edge = edges[row + middle]
            # NaN is behind all others and equal to its like; `!=` finds it
            if right == 1:
                goes_on = not (value < edge or (edge != edge and value == value))
            else:
                goes_on = edge < value or (value != value and edge == edge)
            if goes_on:
                low = middle + 1
            else:
                high = middle
        places[unit] = low


def nonzero(args, meta, begin, end):
    """The places of the first elements that are not zero; where there are too few, zeros."""
    x, y = args
    n, count = meta[0], meta[1]
    for _ in range(begin, end):
        found = 0
        for i in range(count):
            y[i] = 0
        for i in range(n):
            if x[i] != 0:
                if found < count:
                    y[found] = i
                found += 1


def nonzero_work(operands, result, count):
    """nonzero"""
    n = math.prod(operands[0].shape)
    return Work(nonzero, (n, count), 1, n * 1.0)


def search_work(operands, result, right):
    """searchsorted"""
    edges, values = operands
    size = math.prod(values.shape)
    n = edges.shape[-1]
    share = values.shape[-1] if len(edges.shape) > 1 else max(size, 1)
    ns = size * 4.0 * max(n, 1).bit_length()
    return Work(searchsorted, (n, share, int(right)), size, ns)
