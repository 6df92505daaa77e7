"""Greedy colourings of sparse matrices (transforms/sparse/colours.py says what for).

Matrices come as starts and columns of their rows, or starts and rows of their columns.  A vertex
gets the smallest colour that `taken` does not forbid it; `taken[c]` names the last vertex that
colour c was forbidden to, so that nothing is cleared between vertices.

Source: Gebremedhin, Manne, Pothen, What Color Is Your Jacobian?, SIAM Review 47 (2005), algorithms
3.1 and 4.1.
"""

from __future__ import annotations


def colour_columns(args, meta, begin, end):
    """No two columns of one colour have an element in the same row.

    colours is -1 everywhere at first, and stays so for columns that `order` leaves out
    """
    column_starts, rows, row_starts, columns, order, colours, taken = args
    for k in range(begin, end):
        vertex = order[k]
        for i in range(column_starts[vertex], column_starts[vertex + 1]):
            row = rows[i]
            for j in range(row_starts[row], row_starts[row + 1]):
                colour = colours[columns[j]]
                if colour >= 0:
                    taken[colour] = vertex
        smallest = 0
        while taken[smallest] == vertex:
            smallest += 1
        colours[vertex] = smallest


def colour_stars(args, meta, begin, end):
    """No path of four vertices of a symmetric matrix has only two colours."""
    starts, columns, order, colours, taken = args
    for k in range(begin, end):
        vertex = order[k]
        for i in range(starts[vertex], starts[vertex + 1]):
            near = columns[i]
            if near != vertex:
                colour = colours[near]
                if colour >= 0:
                    taken[colour] = vertex
                forbid_behind(starts, columns, colours, taken, vertex, near, colour)
        smallest = 0
        while taken[smallest] == vertex:
            smallest += 1
        colours[vertex] = smallest


def forbid_behind(starts, columns, colours, taken, vertex, near, colour):
    """Forbid the colours of near's neighbours that would close a path of two colours."""
    for j in range(starts[near], starts[near + 1]):
        behind = columns[j]
        if behind != vertex and behind != near:
            other = colours[behind]
            if other >= 0:
                closes = 1
                if colour >= 0:
                    closes = 0
                    for m in range(starts[behind], starts[behind + 1]):
                        last = columns[m]
                        if colours[last] == colour and last != near and last != behind:
                            closes = 1
                if closes > 0:
                    taken[other] = vertex
