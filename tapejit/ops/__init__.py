"""The vocabulary: every operation, declared once.

    movement      inputs, literals, reshape, expand, permute, slice, cat
    arithmetic powers exponential trigonometry special rounding selection comparison copies
                  one value per element
    complexes     complex numbers, their parts and pairs
    library       special functions that SciPy computes
    linked        scalar functions of the user's own that only Numba can run
    fourier       discrete Fourier transforms
    reductions    sum, mean, extremes, statistics, softmax
    scans search  running sums, products and extremes; places in sorted numbers
    linear        matrix products
    matrices solving spectra projections
                  linear systems, eigenvalues, least squares; their values are in lapack
    strided       diagonals and windows
    convolution pooling losses
                  what neural networks need beyond these; correlation: convolutions with NumPy
    indexing combining
                  index, gather, sort and their transposes; products and extremes at places
    random        random numbers of keys and places
    calls         functions with a derivative rule of the user's own
    seeds         unit vectors, over which Jacobians are batched
    probes        where tests look at them
    loops         compiled loops of those that kernels do not know

Importing this package fills `tapejit.registry.OPS` and gives Refs their operators.
"""

from tapejit.build import install_operators
from tapejit.ops import (
    arithmetic,
    calls,
    combining,
    comparison,
    complexes,
    convolution,
    copies,
    exponential,
    fourier,
    indexing,
    library,
    linear,
    linked,
    losses,
    matrices,
    movement,
    pooling,
    powers,
    projections,
    random,
    reductions,
    rounding,
    scans,
    search,
    seeds,
    selection,
    solving,
    special,
    spectra,
    strided,
    trigonometry,
)

__all__ = [
    "arithmetic",
    "calls",
    "combining",
    "comparison",
    "complexes",
    "convolution",
    "copies",
    "exponential",
    "fourier",
    "indexing",
    "library",
    "linear",
    "linked",
    "losses",
    "matrices",
    "movement",
    "pooling",
    "powers",
    "projections",
    "random",
    "reductions",
    "rounding",
    "scans",
    "search",
    "seeds",
    "selection",
    "solving",
    "special",
    "spectra",
    "strided",
    "trigonometry",
]

install_operators()
