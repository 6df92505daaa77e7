"""PyTorch's `linalg` namespace: decompositions, solves, norms of matrices, in batches.

    factors    Cholesky, LU, triangular matrices
    solving    solve, inverses, determinants, pseudo-inverses, least squares
    spectra    eigenvalues, singular values, QR, functions of matrices
    norms      norms of vectors and matrices, condition, rank
    products   chains, powers, and what stands at top level too
    reading    how all of them read their arguments

Functions take NumPy arrays too and answer in kind; `np.linalg.f(tensor)` comes here.  Results that
are tuples have PyTorch's names of fields, which are NumPy's too.
"""

from tapejit.errors import LinAlgError
from tapejit.linalg.factors import (
    cholesky,
    cholesky_ex,
    lu,
    lu_factor,
    lu_factor_ex,
    lu_solve,
    solve_triangular,
)
from tapejit.linalg.norms import cond, matrix_norm, matrix_rank, norm, vector_norm
from tapejit.linalg.products import (
    cross,
    diagonal,
    householder_product,
    matmul,
    matrix_power,
    multi_dot,
    vander,
    vecdot,
)
from tapejit.linalg.solving import (
    det,
    inv,
    inv_ex,
    lstsq,
    pinv,
    slogdet,
    solve,
    solve_ex,
    tensorinv,
    tensorsolve,
)
from tapejit.linalg.spectra import (
    eig,
    eigh,
    eigvals,
    eigvalsh,
    matrix_exp,
    qr,
    svd,
    svdvals,
)

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh",
    "eigvals", "eigvalsh", "householder_product", "inv", "inv_ex", "lstsq", "lu", "lu_factor",
    "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power",
    "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex",
    "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve", "vander", "vecdot",
    "vector_norm",
]  # fmt: skip
