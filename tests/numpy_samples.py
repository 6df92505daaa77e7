"""One call or more of every NumPy function that can be overridden: what `test_numpy_protocol` asks.

A sample is a function of `t`, which makes an argument of an array: the array itself, to see what
NumPy gives, or a tensor.  Names are NumPy's own; ufuncs need no sample, they take one or two
arrays.  A new NumPy with a new function makes the test ask for a sample here.
"""

from __future__ import annotations

import io

import numpy as np

A = np.array([[0.7, 1.9, -0.4, 2.6], [1.1, -1.3, 3.2, 0.2], [-2.2, 0.9, 1.6, -0.8]])
V = np.array([0.3, -1.2, 2.5, 0.8, 1.7])
W = np.array([1.5, 0.6, -0.9, 2.2, 0.4])
SORTED = np.array([-1.0, 0.0, 0.5, 2.0, 3.0])
S = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -0.2], [0.5, -0.2, 5.0]])
R = np.array([[2.0, 1.0, 0.5], [0.3, 3.0, -0.2], [-0.5, 0.2, 4.0]])
N = np.array([[0.7, np.nan, -0.4, 2.6], [1.1, -1.3, np.nan, 0.2], [-2.2, 0.9, 1.6, -0.8]])
I = np.array([3, 1, 2, 1, 0])
B = np.array([True, False, True, True, False])
INFINITE = np.array([1.0, np.inf, -np.inf, np.nan])
MASK = A > 0
C = V + 1j * W

COMPLEX_FFT = ("fft", "fft2", "fftn", "ifft", "ifft2", "ifftn", "irfft", "irfft2", "irfftn", "hfft")


def symmetric(x):
    """What reads one triangle has the slope of the symmetric part."""
    return (x + x.T) / 2


SAMPLES: dict[str, list] = {
    # ------------------------------------------------------------ sums and extremes
    "sum": [
        lambda t: np.sum(t(A)),
        lambda t: np.sum(a=t(A), axis=(0, 1), keepdims=True),
        lambda t: np.sum(t(A), 1, where=MASK),
        lambda t: np.sum(t(A), 0, initial=2.0),
        lambda t: np.sum(t(I), dtype=np.float64),
        lambda t: np.sum(t(A), axis=()),
        lambda t: np.sum(t(A), -1, None, None, True),
    ],
    "prod": [
        lambda t: np.prod(t(A), axis=0),
        lambda t: np.prod(t(A), where=MASK, initial=3.0, axis=1),
    ],
    "mean": [
        lambda t: np.mean(t(A), axis=(1,)),
        lambda t: np.mean(t(I)),
        lambda t: np.mean(t(A), where=MASK, axis=0, keepdims=True),
    ],
    "var": [
        lambda t: np.var(t(A), axis=0),
        lambda t: np.var(t(A), ddof=1, keepdims=True),
        lambda t: np.var(t(A), where=MASK, axis=1),
        lambda t: np.var(t(A), correction=1),
        lambda t: np.var(t(A), mean=np.mean(A)),
        lambda t: np.var(t(A), ddof=0.5),
    ],
    "std": [
        lambda t: np.std(t(A), axis=0),
        lambda t: np.std(t(A), ddof=1, axis=(0, 1)),
        lambda t: np.std(t(A), where=MASK, axis=1),
        lambda t: np.std(t(I)),
    ],
    "max": [
        lambda t: np.max(t(A), 1),
        lambda t: np.max(t(A), axis=(0, 1), keepdims=True),
        lambda t: np.max(t(A), axis=0, initial=1.0, where=MASK),
        lambda t: np.max(t(A[:0]), axis=0, initial=1.0),
    ],
    "min": [
        lambda t: np.min(t(A), 1),
        lambda t: np.min(t(A), axis=0, initial=0.0, where=~MASK),
    ],
    "amax": [lambda t: np.amax(t(A), 1)],
    "amin": [lambda t: np.amin(t(A), 1)],
    "all": [lambda t: np.all(t(A), axis=1), lambda t: np.all(t(B), where=B)],
    "any": [lambda t: np.any(t(A > 3), axis=(0, 1)), lambda t: np.any(t(B), where=~B)],
    "argmax": [lambda t: np.argmax(t(A)), lambda t: np.argmax(t(A), axis=1, keepdims=True)],
    "argmin": [lambda t: np.argmin(t(A), 0)],
    "ptp": [lambda t: np.ptp(t(A)), lambda t: np.ptp(t(A), axis=1, keepdims=True)],
    "count_nonzero": [
        lambda t: np.count_nonzero(t(A > 0)),
        lambda t: np.count_nonzero(t(I), keepdims=True),
        lambda t: np.count_nonzero(t(A > 0), axis=(0, 1)),
    ],
    "average": [
        lambda t: np.average(t(A)),
        lambda t: np.average(t(A), axis=1, weights=t(A[0] ** 2)),
        lambda t: np.average(t(V), weights=W + 3, returned=True),
        lambda t: np.average(A, axis=0, weights=t(A**2 + 1), keepdims=True),
    ],
    "median": [
        lambda t: np.median(t(A)),
        lambda t: np.median(t(A), axis=1, keepdims=True),
        lambda t: np.median(t(A), axis=(0, 1)),
        lambda t: np.median(t(V)),
    ],
    "quantile": [
        lambda t: np.quantile(t(V), 0.3),
        lambda t: np.quantile(t(A), [0.1, 0.6], axis=1),
        lambda t: np.quantile(t(A), 0.45, axis=(0, 1), keepdims=True),
        *(
            lambda t, m=m: np.quantile(t(A), [0.2, 0.55], axis=0, method=m)
            for m in (
                "lower",
                "higher",
                "nearest",
                "midpoint",
                "inverted_cdf",
                "hazen",
                "weibull",
                "averaged_inverted_cdf",
                "closest_observation",
                "interpolated_inverted_cdf",
                "median_unbiased",
                "normal_unbiased",
            )
        ),
    ],
    "percentile": [
        lambda t: np.percentile(t(V), [10, 50, 90]),
        lambda t: np.percentile(V, t(W) * 9 + 9),
    ],
    "nanquantile": [lambda t: np.nanquantile(t(N), 0.3, axis=1)],
    "nanpercentile": [lambda t: np.nanpercentile(t(N), 30, axis=1, keepdims=True)],
    "nanmedian": [lambda t: np.nanmedian(t(N)), lambda t: np.nanmedian(t(N), axis=0)],
    "nansum": [lambda t: np.nansum(t(N), axis=1), lambda t: np.nansum(t(N), initial=1.0)],
    "nanprod": [lambda t: np.nanprod(t(N), axis=1)],
    "nanmean": [lambda t: np.nanmean(t(N), axis=1), lambda t: np.nanmean(t(N), where=N != 2.6)],
    "nanvar": [lambda t: np.nanvar(t(N), axis=1), lambda t: np.nanvar(t(N), ddof=1)],
    "nanstd": [lambda t: np.nanstd(t(N), axis=0, keepdims=True)],
    "nanmax": [lambda t: np.nanmax(t(N), axis=1), lambda t: np.nanmax(t(N), initial=9.0)],
    "nanmin": [lambda t: np.nanmin(t(N))],
    "nanargmax": [lambda t: np.nanargmax(t(N), axis=1)],
    "nanargmin": [lambda t: np.nanargmin(t(N))],
    "nancumsum": [lambda t: np.nancumsum(t(N), axis=1)],
    "nancumprod": [lambda t: np.nancumprod(t(N))],
    "cov": [
        lambda t: np.cov(t(A)),
        lambda t: np.cov(t(V), t(W), ddof=0),
        lambda t: np.cov(t(A), rowvar=False, bias=True),
        lambda t: np.cov(t(V), fweights=I + 1, aweights=np.abs(W)),
    ],
    "corrcoef": [lambda t: np.corrcoef(t(A)), lambda t: np.corrcoef(t(V), t(W))],
    "histogram": [lambda t: np.histogram(t(V), 3)],
    "histogram2d": [lambda t: np.histogram2d(t(V), t(W), 3)],
    "histogramdd": [lambda t: np.histogramdd(t(A), 3)],
    "histogram_bin_edges": [lambda t: np.histogram_bin_edges(t(V), 3)],
    # ------------------------------------------------------------ scans and neighbours
    "cumsum": [
        lambda t: np.cumsum(t(A)),
        lambda t: np.cumsum(t(A), axis=1),
        lambda t: np.cumsum(t(I), dtype=float),
    ],
    "cumprod": [lambda t: np.cumprod(t(A)), lambda t: np.cumprod(t(A), axis=-1)],
    "cumulative_sum": [
        lambda t: np.cumulative_sum(t(V)),
        lambda t: np.cumulative_sum(t(A), axis=1, include_initial=True),
    ],
    "cumulative_prod": [lambda t: np.cumulative_prod(t(A), axis=0, include_initial=True)],
    "diff": [
        lambda t: np.diff(t(A)),
        lambda t: np.diff(t(V), 2),
        lambda t: np.diff(t(A), axis=0, prepend=1.0),
        lambda t: np.diff(t(V), append=[1.0, 2.0]),
    ],
    "ediff1d": [lambda t: np.ediff1d(t(V)), lambda t: np.ediff1d(t(V), to_end=[9.0], to_begin=1.0)],
    "gradient": [
        lambda t: np.gradient(t(V)),
        lambda t: np.gradient(t(V), 0.5, edge_order=2),
        lambda t: np.gradient(t(A), axis=1),
        lambda t: np.gradient(t(A), 2.0, 3.0),
        lambda t: np.gradient(t(V), SORTED),
    ],
    "trapezoid": [
        lambda t: np.trapezoid(t(V)),
        lambda t: np.trapezoid(t(A), dx=0.5, axis=0),
        lambda t: np.trapezoid(t(V), t(SORTED)),
        lambda t: np.trapezoid(t(A), t(A * 2), axis=1),
    ],
    "convolve": [
        lambda t: np.convolve(t(V), t(W[:3])),
        lambda t: np.convolve(t(V), W[:2], "same"),
        lambda t: np.convolve(W[:2], t(V), mode="valid"),
        lambda t: np.convolve(t(V), [1.0, 2.0]),
    ],
    "correlate": [
        lambda t: np.correlate(t(V), t(W[:3])),
        lambda t: np.correlate(t(V), t(W), "full"),
        lambda t: np.correlate(t(W[:2]), V, "same"),
    ],
    "interp": [
        lambda t: np.interp(t(np.array([-2.0, 0.2, 1.1, 4.0])), SORTED, V),
        lambda t: np.interp(t(V), SORTED, t(W), left=9.0, right=-9.0),
        lambda t: np.interp(t(V), SORTED, t(W), period=5.0),
    ],
    "unwrap": [lambda t: np.unwrap(t(V * 4)), lambda t: np.unwrap(t(A * 4), axis=0, period=3.0)],
    # ------------------------------------------------------------ order and sets
    "sort": [lambda t: np.sort(t(A)), lambda t: np.sort(t(A), axis=None, kind="stable")],
    "argsort": [lambda t: np.argsort(t(A), axis=0), lambda t: np.argsort(t(V), stable=True)],
    "lexsort": [lambda t: np.lexsort((t(V), t(I)))],
    "partition": [lambda t: np.partition(t(V), 2)[2]],
    "argpartition": [lambda t: np.argpartition(t(V), 2)[2]],
    "sort_complex": [lambda t: np.sort_complex(t(V))],
    "searchsorted": [
        lambda t: np.searchsorted(SORTED, t(V)),
        lambda t: np.searchsorted(t(SORTED), V, "right"),
        lambda t: np.searchsorted(SORTED, t(V), sorter=[0, 1, 2, 3, 4]),
    ],
    "digitize": [
        lambda t: np.digitize(t(V), SORTED),
        lambda t: np.digitize(t(V), SORTED[::-1], True),
    ],
    "unique": [
        lambda t: np.unique(t(I)),
        lambda t: np.unique(t(V)),
        lambda t: np.unique(t(I), return_counts=True, return_inverse=True, return_index=True),
        lambda t: np.unique(t(np.array([[3, 2], [1, 2], [1, 2]])), axis=0),
    ],
    "unique_all": [lambda t: np.unique_all(t(I))],
    "unique_counts": [lambda t: np.unique_counts(t(I))],
    "unique_inverse": [lambda t: np.unique_inverse(t(I))],
    "unique_values": [lambda t: np.sort(np.unique_values(t(I)))],
    "isin": [lambda t: np.isin(t(I), [1, 3]), lambda t: np.isin(t(A), t(V), invert=True)],
    "intersect1d": [lambda t: np.intersect1d(t(I), [1, 2])],
    "setdiff1d": [lambda t: np.setdiff1d(t(I), [1, 2])],
    "setxor1d": [lambda t: np.setxor1d(t(I), [1, 7])],
    "union1d": [lambda t: np.union1d(t(I), [1, 7])],
    "bincount": [lambda t: np.bincount(t(I)), lambda t: np.bincount(I, weights=t(V), minlength=7)],
    # ------------------------------------------------------------ shapes
    "reshape": [lambda t: np.reshape(t(A), (2, 6)), lambda t: np.reshape(t(A), -1, order="F")],
    "ravel": [lambda t: np.ravel(t(A)), lambda t: np.ravel(t(A), order="F")],
    "squeeze": [lambda t: np.squeeze(t(A[None])), lambda t: np.squeeze(t(A[None]), axis=0)],
    "expand_dims": [lambda t: np.expand_dims(t(A), 1), lambda t: np.expand_dims(t(A), (0, 3))],
    "transpose": [lambda t: np.transpose(t(A)), lambda t: np.transpose(t(A[None]), axes=(1, 0, 2))],
    "matrix_transpose": [lambda t: np.matrix_transpose(t(A))],
    "swapaxes": [lambda t: np.swapaxes(t(A), 0, 1), lambda t: np.swapaxes(t(A), axis1=0, axis2=-1)],
    "moveaxis": [
        lambda t: np.moveaxis(t(A[None]), 0, -1),
        lambda t: np.moveaxis(t(A[None]), (0, 1), (1, 2)),
    ],
    "rollaxis": [lambda t: np.rollaxis(t(A[None]), 2)],
    "broadcast_to": [lambda t: np.broadcast_to(t(V), (2, 5))],
    "broadcast_arrays": [lambda t: np.broadcast_arrays(t(V), t(V[:, None]))],
    "atleast_1d": [lambda t: np.atleast_1d(t(np.array(2.0))), lambda t: np.atleast_1d(t(V), t(A))],
    "atleast_2d": [lambda t: np.atleast_2d(t(V))],
    "atleast_3d": [lambda t: np.atleast_3d(t(V)), lambda t: np.atleast_3d(t(A))],
    "concatenate": [
        lambda t: np.concatenate([t(A), A], axis=1),
        lambda t: np.concatenate((t(A), t(V)), None),
        lambda t: np.concatenate([t(I), t(V)]),
        lambda t: np.concatenate([t(V), [1.0]], dtype=int, casting="unsafe"),
    ],
    "stack": [lambda t: np.stack([t(V), W], axis=-1), lambda t: np.stack(arrays=(t(V), t(W)))],
    "hstack": [lambda t: np.hstack([t(A), A[:, :1]]), lambda t: np.hstack((t(V), t(W)))],
    "vstack": [lambda t: np.vstack([t(V), W]), lambda t: np.vstack((t(A), A[:1]))],
    "dstack": [lambda t: np.dstack([t(V), W]), lambda t: np.dstack((t(A), A))],
    "column_stack": [lambda t: np.column_stack([t(V), W])],
    "block": [lambda t: np.block([[t(A), A], [A, t(A)]])],
    "append": [lambda t: np.append(t(V), W), lambda t: np.append(t(A), A, axis=1)],
    "insert": [lambda t: np.insert(t(V), 2, 9.0)],
    "delete": [lambda t: np.delete(t(V), 2), lambda t: np.delete(t(A), [0, 2], axis=1)],
    "resize": [lambda t: np.resize(t(V), (2, 3))],
    "split": [lambda t: np.split(t(A), 2, axis=1), lambda t: np.split(t(V), [1, 3])],
    "array_split": [lambda t: np.array_split(t(V), 3)],
    "hsplit": [lambda t: np.hsplit(t(A), 2)],
    "vsplit": [lambda t: np.vsplit(t(A), [1])],
    "dsplit": [lambda t: np.dsplit(t(A[None]), 2)],
    "unstack": [lambda t: np.unstack(t(A), axis=1)],
    "repeat": [
        lambda t: np.repeat(t(V), 2),
        lambda t: np.repeat(t(A), 3, axis=1),
        lambda t: np.repeat(t(V), [1, 0, 2, 1, 1]),
    ],
    "tile": [lambda t: np.tile(t(V), 2), lambda t: np.tile(t(A), (2, 1, 2))],
    "flip": [lambda t: np.flip(t(A)), lambda t: np.flip(t(A), axis=1)],
    "fliplr": [lambda t: np.fliplr(t(A))],
    "flipud": [lambda t: np.flipud(t(A))],
    "roll": [
        lambda t: np.roll(t(A), 2),
        lambda t: np.roll(t(A), (1, -1), axis=(0, 1)),
    ],
    "rot90": [lambda t: np.rot90(t(A)), lambda t: np.rot90(t(A), 3, axes=(1, 0))],
    "pad": [
        lambda t: np.pad(t(V), 2),
        lambda t: np.pad(t(A), ((1, 0), (2, 1)), constant_values=3.0),
        *(lambda t, m=m: np.pad(t(V), (1, 2), m) for m in ("edge", "reflect", "symmetric", "wrap")),
        lambda t: np.pad(t(V), 1, "maximum"),
        lambda t: np.pad(t(V), 1, "linear_ramp"),
    ],
    "diag": [lambda t: np.diag(t(V)), lambda t: np.diag(t(A), k=1), lambda t: np.diag(t(V), -1)],
    "diagflat": [lambda t: np.diagflat(t(V), 1)],
    "diagonal": [
        lambda t: np.diagonal(t(A)),
        lambda t: np.diagonal(t(A[None]), offset=1, axis1=1, axis2=2),
    ],
    "tril": [lambda t: np.tril(t(A)), lambda t: np.tril(t(A), k=-1)],
    "triu": [lambda t: np.triu(t(A), 1)],
    "diag_indices_from": [lambda t: np.diag_indices_from(t(S))],
    "tril_indices_from": [lambda t: np.tril_indices_from(t(S))],
    "triu_indices_from": [lambda t: np.triu_indices_from(t(S), k=1)],
    "trim_zeros": [lambda t: np.trim_zeros(t(np.array([0.0, 1.0, 0.0])))],
    "vander": [lambda t: np.vander(t(V)), lambda t: np.vander(t(V), 3, increasing=True)],
    "sliding_window_view": [lambda t: np.lib.stride_tricks.sliding_window_view(t(V), 2)],
    # ------------------------------------------------------------ picking
    "where": [
        lambda t: np.where(t(MASK), t(A), 0.0),
        lambda t: np.where(MASK, 1.0, t(A)),
        lambda t: np.where(t(B)),
    ],
    "select": [lambda t: np.select([V > 1, V > 0], [t(V), t(W)], default=3.0)],
    "choose": [lambda t: np.choose(I % 2, [t(V), t(W)])],
    "compress": [lambda t: np.compress(B, t(V)), lambda t: np.compress(B[:3], t(A), axis=0)],
    "extract": [lambda t: np.extract(B, t(V))],
    "take": [
        lambda t: np.take(t(V), I),
        lambda t: np.take(t(A), [0, 2], axis=1),
        lambda t: np.take(t(V), [7], mode="clip"),
    ],
    "take_along_axis": [lambda t: np.take_along_axis(t(A), np.argsort(A, 1), axis=1)],
    "put_along_axis": [lambda t: np.put_along_axis(t(A.copy()), np.array([[1]] * 3), 1.0, 1)],
    "put": [lambda t: np.put(t(V.copy()), [1, 2], [8.0, 9.0])],
    "place": [lambda t: np.place(t(V.copy()), B, [1.0])],
    "putmask": [lambda t: np.putmask(t(V.copy()), B, W)],
    "copyto": [lambda t: np.copyto(t(V.copy()), W)],
    "fill_diagonal": [lambda t: np.fill_diagonal(t(A.copy()), 9.0)],
    "nonzero": [lambda t: np.nonzero(t(I)), lambda t: np.nonzero(t(A > 0))],
    "argwhere": [lambda t: np.argwhere(t(A > 0))],
    "flatnonzero": [lambda t: np.flatnonzero(t(I))],
    "ix_": [lambda t: np.ix_(t(I), [0, 1])],
    "ravel_multi_index": [lambda t: np.ravel_multi_index((t(I % 3), t(I)), (3, 4))],
    "unravel_index": [lambda t: np.unravel_index(t(I), (3, 4))],
    "piecewise": [lambda t: np.piecewise(t(V), [V > 0], [lambda x: x * 2, 0.0])],
    "apply_along_axis": [lambda t: np.apply_along_axis(np.sum, 0, t(A))],
    "apply_over_axes": [lambda t: np.apply_over_axes(np.sum, t(A), (0, 1))],
    # ------------------------------------------------------------ products
    "dot": [
        lambda t: np.dot(t(A), t(A.T)),
        lambda t: np.dot(t(V), W),
        lambda t: np.dot([1.0] * 5, t(V)),
    ],
    "vdot": [lambda t: np.vdot(t(A), t(A))],
    "inner": [lambda t: np.inner(t(A), t(A)), lambda t: np.inner(t(V), W)],
    "outer": [lambda t: np.outer(t(V), W), lambda t: np.outer(t(A), t(V))],
    "tensordot": [
        lambda t: np.tensordot(t(A), t(A.T), 1),
        lambda t: np.tensordot(t(A), A, axes=((0,), (0,))),
    ],
    "kron": [lambda t: np.kron(t(A), t(S))],
    "cross": [lambda t: np.cross(t(S), t(R)), lambda t: np.cross(t(S), R, axis=0)],
    "einsum": [
        lambda t: np.einsum("ij,kj->ik", t(A), t(A)),
        lambda t: np.einsum("ij->j", t(A)),
        lambda t: np.einsum("i,i", V, t(W), optimize=True),
    ],
    "einsum_path": [lambda t: np.einsum_path("ij,kj->ik", t(A), t(A))],
    "trace": [lambda t: np.trace(t(S)), lambda t: np.trace(t(A), offset=1)],
    "linalg.matmul": [lambda t: np.linalg.matmul(t(A), t(A.T))],
    "linalg.outer": [lambda t: np.linalg.outer(t(V), t(W))],
    "linalg.tensordot": [lambda t: np.linalg.tensordot(t(A), t(A), axes=2)],
    "linalg.vecdot": [lambda t: np.linalg.vecdot(t(A), t(A))],
    "linalg.cross": [lambda t: np.linalg.cross(t(S), t(R))],
    "linalg.trace": [lambda t: np.linalg.trace(t(S)), lambda t: np.linalg.trace(t(S), offset=1)],
    "linalg.diagonal": [lambda t: np.linalg.diagonal(t(S), offset=1)],
    "linalg.matrix_transpose": [lambda t: np.linalg.matrix_transpose(t(S))],
    "linalg.multi_dot": [lambda t: np.linalg.multi_dot([t(A), t(A.T), t(S)])],
    "linalg.cholesky": [
        lambda t: np.linalg.cholesky(symmetric(t(S))),
        lambda t: np.linalg.cholesky(symmetric(t(S)), upper=True),
    ],
    "linalg.cond": [lambda t: np.linalg.cond(t(R)), lambda t: np.linalg.cond(t(R), 1)],
    "linalg.det": [lambda t: np.linalg.det(t(R))],
    "linalg.eig": [lambda t: np.linalg.eig(t(R)).eigenvalues.real],
    "linalg.eigh": [lambda t: np.linalg.eigh(symmetric(t(S))).eigenvalues],
    "linalg.eigvals": [lambda t: np.linalg.eigvals(t(R)).real],
    "linalg.eigvalsh": [
        lambda t: np.linalg.eigvalsh(symmetric(t(S))),
        lambda t: np.linalg.eigvalsh(symmetric(t(S)), UPLO="U"),
    ],
    "linalg.inv": [lambda t: np.linalg.inv(t(R))],
    "linalg.lstsq": [lambda t: np.linalg.lstsq(t(A.T), t(A[0]))[0]],
    "linalg.matrix_norm": [
        lambda t: np.linalg.matrix_norm(t(A)),
        lambda t: np.linalg.matrix_norm(t(A), ord=1),
    ],
    "linalg.matrix_power": [lambda t: np.linalg.matrix_power(t(R), 3)],
    "linalg.matrix_rank": [lambda t: np.linalg.matrix_rank(t(R))],
    "linalg.norm": [
        lambda t: np.linalg.norm(t(V)),
        lambda t: np.linalg.norm(t(A)),
        lambda t: np.linalg.norm(t(V), 3),
        lambda t: np.linalg.norm(t(A), np.inf, axis=1),
        lambda t: np.linalg.norm(t(A), 1),
        lambda t: np.linalg.norm(t(A), "nuc"),
        lambda t: np.linalg.norm(t(A), axis=0, keepdims=True),
    ],
    "linalg.pinv": [lambda t: np.linalg.pinv(t(A))],
    "linalg.qr": [lambda t: np.linalg.qr(t(R)), lambda t: np.linalg.qr(t(R), mode="r")],
    "linalg.slogdet": [lambda t: np.linalg.slogdet(t(R))],
    "linalg.solve": [
        lambda t: np.linalg.solve(t(R), t(A[:, 0])),
        lambda t: np.linalg.solve(R, t(A)),
    ],
    "linalg.svd": [
        lambda t: np.linalg.svd(t(R)).S,
        lambda t: np.linalg.svd(t(A), compute_uv=False),
        lambda t: np.linalg.svd(t(A), full_matrices=False).S,
    ],
    "linalg.svdvals": [lambda t: np.linalg.svdvals(t(A))],
    "linalg.tensorinv": [lambda t: np.linalg.tensorinv(t(S.reshape(3, 1, 3)), 1)],
    "linalg.tensorsolve": [lambda t: np.linalg.tensorsolve(t(R), t(A[:, 0]))],
    "linalg.vector_norm": [
        lambda t: np.linalg.vector_norm(t(A)),
        lambda t: np.linalg.vector_norm(t(A), axis=1, ord=1),
    ],
    # ------------------------------------------------------------ element by element
    "around": [lambda t: np.around(t(A), 1)],
    "round": [lambda t: np.round(t(A)), lambda t: np.round(t(A), decimals=1)],
    "clip": [
        lambda t: np.clip(t(A), 0.0, 1.0),
        lambda t: np.clip(t(A), min=-0.5, max=None),
        lambda t: np.clip(A, t(A[0] - 0.3), 2.0),
        lambda t: np.clip(t(A), a_min=None, a_max=1.0),
        lambda t: np.clip(t(A), a_max=1.0, a_min=-1.0),
    ],
    "fix": [lambda t: np.fix(t(A))],
    "angle": [lambda t: np.angle(t(A)), lambda t: np.angle(t(C), deg=True)],
    "real": [lambda t: np.real(t(A)), lambda t: np.real(t(C))],
    "imag": [lambda t: np.imag(t(A)), lambda t: np.imag(t(C))],
    "real_if_close": [lambda t: np.real_if_close(t(A))],
    "isreal": [lambda t: np.isreal(t(A))],
    "iscomplex": [lambda t: np.iscomplex(t(A))],
    "isrealobj": [lambda t: np.isrealobj(t(A))],
    "iscomplexobj": [lambda t: np.iscomplexobj(t(A))],
    "isposinf": [lambda t: np.isposinf(t(INFINITE))],
    "isneginf": [lambda t: np.isneginf(t(INFINITE))],
    "nan_to_num": [lambda t: np.nan_to_num(t(N)), lambda t: np.nan_to_num(t(N), nan=2.0)],
    "sinc": [lambda t: np.sinc(t(A))],
    "i0": [lambda t: np.i0(t(A))],
    "isclose": [
        lambda t: np.isclose(t(A), A + 1e-9),
        lambda t: np.isclose(t(N), N, equal_nan=True),
    ],
    "allclose": [lambda t: np.allclose(t(A), A), lambda t: np.allclose(t(A), t(A) + 1, atol=2.0)],
    "array_equal": [
        lambda t: np.array_equal(t(A), A),
        lambda t: np.array_equal(t(N), N, equal_nan=True),
    ],
    "array_equiv": [lambda t: np.array_equiv(t(V), t(V[None]))],
    "poly": [lambda t: np.poly(t(V))],
    "polyval": [lambda t: np.polyval(t(V), W), lambda t: np.polyval([1.0, 2.0, 3.0], t(A))],
    "polyadd": [lambda t: np.polyadd(t(V), t(W[:2]))],
    "polysub": [lambda t: np.polysub(t(V), t(W[:2]))],
    "polymul": [lambda t: np.polymul(t(V), t(W))],
    "polydiv": [lambda t: np.polydiv(t(V), t(W[:2]))],
    "polyder": [lambda t: np.polyder(t(V)), lambda t: np.polyder(t(V), 2)],
    "polyint": [lambda t: np.polyint(t(V))],
    "polyfit": [lambda t: np.polyfit(t(SORTED), t(V), 2)],
    "roots": [lambda t: np.roots(t(V))],
    **{
        f"lib.scimath.{n}": [lambda t, n=n: getattr(np.lib.scimath, n)(t(np.abs(V) / 3))]
        for n in ("arccos", "arcsin", "arctanh", "log", "log10", "log2", "sqrt")
    },
    "lib.scimath.logn": [lambda t: np.lib.scimath.logn(2.0, t(np.abs(V)))],
    "lib.scimath.power": [lambda t: np.lib.scimath.power(t(V), 2)],
    # ------------------------------------------------------------ new arrays
    "zeros_like": [
        lambda t: np.zeros_like(t(A)),
        lambda t: np.zeros_like(t(A), dtype=int, shape=3),
    ],
    "ones_like": [lambda t: np.ones_like(t(A), order="F")],
    "empty_like": [lambda t: np.empty_like(t(A)) * 0 == 0],
    "full_like": [lambda t: np.full_like(t(A), 2.5), lambda t: np.full_like(t(A), 2, dtype=int)],
    "linspace": [
        lambda t: np.linspace(t(V[0]), t(W[0]), 4),
        lambda t: np.linspace(t(V), 1.0, 3, axis=-1),
        lambda t: np.linspace(0.0, t(W), 4, endpoint=False),
        lambda t: np.linspace(t(V[0]), 2.0, num=5, retstep=True),
    ],
    "logspace": [
        lambda t: np.logspace(t(V[0]), 1.0, 4),
        lambda t: np.logspace(t(V), 1.0, 3, base=2.0),
    ],
    "geomspace": [lambda t: np.geomspace(t(V[0]), 9.0, 4)],
    "meshgrid": [
        lambda t: np.meshgrid(t(V), t(W[:2])),
        lambda t: np.meshgrid(t(V), W[:2], indexing="ij"),
        lambda t: np.meshgrid(t(V), t(W[:2]), sparse=True),
    ],
    "copy": [lambda t: np.copy(t(A))],
    "astype": [lambda t: np.astype(t(A), np.int64)],
    **{
        name: [lambda t, name=name: getattr(np, name)(3, like=t(A))]
        for name in ("zeros", "ones", "eye", "identity", "tri", "arange")
    },
    "empty": [lambda t: np.empty(3, like=t(A)) * 0 == 0],
    "full": [lambda t: np.full(3, 2.0, like=t(A))],
    **{
        name: [lambda t, name=name: getattr(np, name)([1.0, 2.0], like=t(A))]
        for name in ("asarray", "asanyarray", "ascontiguousarray", "asfortranarray", "array")
    },
    "require": [lambda t: np.require([1.0], like=t(A))],
    "frombuffer": [lambda t: np.frombuffer(b"12345678", like=t(A))],
    "fromfile": [lambda t: np.fromfile(io.BytesIO(b""), like=t(A))],
    "fromfunction": [lambda t: np.fromfunction(lambda i: i, (3,), like=t(A))],
    "fromiter": [lambda t: np.fromiter(iter([1.0]), float, like=t(A))],
    "fromstring": [lambda t: np.fromstring("1 2", sep=" ", like=t(A))],
    "genfromtxt": [lambda t: np.genfromtxt(io.StringIO("1 2"), like=t(A))],
    "loadtxt": [lambda t: np.loadtxt(io.StringIO("1 2"), like=t(A))],
    # ------------------------------------------------------------ Fourier transforms
    **{
        f"fft.{name}": [
            lambda t, name=name: getattr(np.fft, name)(t(A)),
            lambda t, name=name: getattr(np.fft, name)(
                t(A * 1j + 1) if name in COMPLEX_FFT else t(A)
            ),
        ]
        for name in (*COMPLEX_FFT, "rfft", "rfft2", "rfftn", "ihfft", "fftshift", "ifftshift")
    },
    "fft.fftfreq": [lambda t: np.fft.fftfreq(4, t(V[0]))],
    # ------------------------------------------------------------ what a tensor is
    "shape": [lambda t: np.shape(t(A))],
    "ndim": [lambda t: np.ndim(t(A))],
    "size": [lambda t: np.size(t(A)), lambda t: np.size(t(A), axis=1)],
    "result_type": [lambda t: np.result_type(t(A), t(I))],
    "can_cast": [lambda t: np.can_cast(t(A), np.float32)],
    "common_type": [lambda t: np.common_type(t(A), t(I))],
    "min_scalar_type": [lambda t: np.min_scalar_type(t(A))],
    "shares_memory": [lambda t: np.shares_memory(t(A), A)],
    "may_share_memory": [lambda t: np.may_share_memory(t(A), V)],
    "array_repr": [lambda t: np.array_repr(t(A))],
    "array_str": [lambda t: np.array_str(t(A))],
    "array2string": [lambda t: np.array2string(t(A))],
    "save": [lambda t: np.save(io.BytesIO(), t(A))],
    "savetxt": [lambda t: np.savetxt(io.StringIO(), t(A))],
    "savez": [lambda t: np.savez(io.BytesIO(), t(A))],
    "savez_compressed": [lambda t: np.savez_compressed(io.BytesIO(), t(A))],
    "packbits": [lambda t: np.packbits(t(B))],
    "unpackbits": [lambda t: np.unpackbits(t(I.astype(np.uint8)))],
    "busday_count": [lambda t: np.busday_count(t(I), t(I))],
    "busday_offset": [lambda t: np.busday_offset(t(I), t(I))],
    "is_busday": [lambda t: np.is_busday(t(I))],
    "datetime_as_string": [lambda t: np.datetime_as_string(t(I))],
}


def _records(name):
    """numpy.lib.recfunctions: functions of structured arrays, which tensors never are."""
    import numpy.lib.recfunctions as records

    function = getattr(records, name)
    arguments = {
        "append_fields": (lambda t: (t(V), "a", t(W))),
        "rec_append_fields": (lambda t: (t(V), "a", t(W))),
        "join_by": (lambda t: ("a", t(V), t(W))),
        "rec_join": (lambda t: ("a", t(V), t(W))),
        "apply_along_fields": (lambda t: (np.mean, t(V))),
        "drop_fields": (lambda t: (t(V), "a")),
        "rec_drop_fields": (lambda t: (t(V), "a")),
        "rename_fields": (lambda t: (t(V), {})),
        "require_fields": (lambda t: (t(V), float)),
        "recursive_fill_fields": (lambda t: (t(V), t(W))),
        "assign_fields_by_name": (lambda t: (t(V), t(W))),
        "merge_arrays": (lambda t: ((t(V), t(W)),)),
        "stack_arrays": (lambda t: ((t(V), t(W)),)),
    }.get(name, lambda t: (t(V),))
    return lambda t: function(*arguments(t))


def samples(function) -> list:
    """The samples of one overridable NumPy function."""
    home = function.__module__.removeprefix("numpy").removeprefix(".")
    if home == "lib.recfunctions":
        return [_records(function.__name__)]
    if home == "lib.stride_tricks":
        return SAMPLES[function.__name__]
    return SAMPLES[f"{home}.{function.__name__}".lstrip(".")]
