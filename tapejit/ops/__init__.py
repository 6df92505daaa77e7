"""The vocabulary: every operation, declared once.

    movement      inputs, literals, reshape, expand, permute, slice, cat
    elementwise   arithmetic, exponentials, trigonometry, kinks, selection, logic
    reductions    sum, mean, extremes, statistics, softmax, cumsum
    linear        matrix products
    indexing      index, gather, sort and their transposes

Importing this package fills `tapejit.registry.OPS` and gives Refs their operators.
"""

from tapejit.build import install_operators
from tapejit.ops import elementwise, indexing, linear, movement, reductions

__all__ = ["elementwise", "indexing", "linear", "movement", "reductions"]

install_operators()
