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
        other = colours[behind]
        if other >= 0 and behind != vertex and behind != near:
            closes = 1
            if colour >= 0:
                closes = has_beside(starts, columns, colours, behind, near, colour)
            if closes > 0:
                taken[other] = vertex


def has_beside(starts, columns, colours, vertex, except_for, colour):
    """Whether a neighbour of a vertex, other than one, has a colour."""
    for i in range(starts[vertex], starts[vertex + 1]):
        near = columns[i]
        if colours[near] == colour and near != except_for and near != vertex:
            return 1
    return 0
