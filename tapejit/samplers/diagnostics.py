"""Did the chains converge, and how much are the draws worth: R-hat, ESS, a table.

Definitions of Vehtari, Gelman, Simpson, Carpenter and Bürkner 2021 (Bayesian Analysis 16:2): split,
rank-normalised and folded R-hat; bulk and tail effective sample size with Geyer's initial monotone
sequence.  ArviZ computes the same numbers and much more: `Samples.to_arviz()`.

Every function takes (chain, draw, ...) and gives (...).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from tapejit.errors import ShapeError

# ---------------------------------------------------------------- public


def rhat(draws) -> np.ndarray:
    """Split, rank-normalised R-hat, folded too: 1 where chains agree; above 1.01 they do not.

    Shapes  (chain, draw, ...) -> (...)
    Errors  ShapeError for fewer than 4 draws
    Like    arviz.rhat
    Source  Vehtari et al. 2021, doi:10.1214/20-BA1221

    >>> import numpy as np, tapejit as tj
    >>> draws = np.random.default_rng(0).normal(size=(4, 500))
    >>> bool(tj.samplers.rhat(draws) < 1.01)
    True
    """

    def worse(x):
        x = _split(x)
        return max(_rhat(_normal_ranks(x)), _rhat(_normal_ranks(np.abs(x - np.median(x)))))

    return _for_each(draws, worse)


def ess_bulk(draws) -> np.ndarray:
    """How many independent draws these are worth for means and medians.

    Shapes  (chain, draw, ...) -> (...)
    Errors  ShapeError for fewer than 4 draws
    Like    arviz.ess
    Source  Vehtari et al. 2021, doi:10.1214/20-BA1221

    >>> import numpy as np, tapejit as tj
    >>> draws = np.random.default_rng(0).normal(size=(4, 500))
    >>> bool(1500 < tj.samplers.ess_bulk(draws) < 2500)
    True
    """
    return _for_each(draws, lambda x: _ess(_normal_ranks(_split(x))))


def ess_tail(draws) -> np.ndarray:
    """How many independent draws these are worth for the 5 and 95 % quantiles.

    Shapes  (chain, draw, ...) -> (...)
    Errors  ShapeError for fewer than 4 draws
    Like    arviz.ess(method="tail")
    Source  Vehtari et al. 2021, doi:10.1214/20-BA1221

    >>> import numpy as np, tapejit as tj
    >>> draws = np.random.default_rng(0).normal(size=(4, 500))
    >>> bool(1000 < tj.samplers.ess_tail(draws) < 3000)
    True
    """

    def of_quantiles(x):
        return min(_ess(_split((x <= np.quantile(x, q)).astype(float))) for q in (0.05, 0.95))

    return _for_each(draws, of_quantiles)


class Row(NamedTuple):
    """What a summary says of one number."""

    mean: float
    sd: float
    q5: float
    q95: float
    ess_bulk: float
    ess_tail: float
    rhat: float


class Summary(dict):
    """A `Row` for every number, by name; prints as a table."""

    def __str__(self):
        width = max(len(name) for name in self)
        lines = [" " * width + "".join(f"{name:>10}" for name in Row._fields)]
        for name, row in self.items():
            numbers = [f"{x:>10.4g}" for x in row[:4]] + [f"{x:>10.0f}" for x in row[4:6]]
            lines.append(f"{name:<{width}}" + "".join(numbers) + f"{row.rhat:>10.3f}")
        return "\n".join(lines)

    __repr__ = __str__


def summary(draws: Mapping) -> Summary:
    """Mean, standard deviation, 5 and 95 % quantile, ESS and R-hat of every number.

    draws   (chain, draw, ...) by name
    Like    arviz.summary
    Errors  ShapeError for fewer than 4 draws

    >>> import numpy as np, tapejit as tj
    >>> table = tj.samplers.summary({"mu": np.random.default_rng(0).normal(size=(4, 500, 2))})
    >>> list(table), round(table["mu[0]"].sd, 1)
    (['mu[0]', 'mu[1]'], 1.0)
    """
    table = Summary()
    for name, values in draws.items():
        values = np.asarray(values)
        columns = zip(rhat(values).ravel(), ess_bulk(values).ravel(), ess_tail(values).ravel(),
                      strict=True)  # fmt: skip
        for index, (r, bulk, tail) in zip(np.ndindex(values.shape[2:]), columns, strict=True):
            x = values[(slice(None), slice(None), *index)]
            label = f"{name}[{', '.join(map(str, index))}]" if index else name
            low, high = np.quantile(x, (0.05, 0.95))
            table[label] = Row(*map(float, (x.mean(), x.std(ddof=1), low, high, bulk, tail, r)))
    return table


# ---------------------------------------------------------------- parts


def _for_each(draws, function: Callable[[np.ndarray], float]) -> np.ndarray:
    """`function` of the draws of every number; nan where one is not finite."""
    draws = np.asarray(draws, float)
    if draws.ndim < 2 or draws.shape[1] < 4:
        raise ShapeError(
            f"samplers: draws must be (chain, draw, ...) with 4 draws or more, got {draws.shape}"
        )
    answer = np.full(draws.shape[2:], np.nan)
    for index in np.ndindex(answer.shape):
        x = draws[(slice(None), slice(None), *index)]
        if np.all(np.isfinite(x)):
            answer[index] = function(x)
    return answer


def _split(x):
    """Halves of chains as chains, so that a chain that drifts is seen."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _normal_ranks(x):
    """Normal scores of the ranks in all chains together; ties share their mean rank."""
    from scipy.special import ndtri

    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return ndtri((ranks[place.reshape(x.shape)] - 0.375) / (x.size + 0.25))


def _rhat(x) -> float:
    n = x.shape[1]
    within = np.mean(np.var(x, axis=1, ddof=1))
    between = np.var(np.mean(x, axis=1), ddof=1)
    if within == 0.0:
        return np.nan if between == 0.0 else np.inf
    return float(np.sqrt(between / within + (n - 1) / n))


def _ess(x) -> float:
    """Effective sample size of chains (Geyer's initial monotone positive sequence)."""
    m, n = x.shape
    if np.ptp(x) < np.finfo(float).resolution:
        return float(m * n)
    covariances = np.mean(_autocovariances(x), axis=0)
    within = covariances[0] * n / (n - 1.0)
    spread = covariances[0] + (np.var(np.mean(x, axis=1), ddof=1) if m > 1 else 0.0)
    rho = 1.0 - (within - covariances) / spread
    rho[0] = 1.0
    n_pairs = max((n - 3) // 2, 0)
    pairs = rho[: 2 * n_pairs].reshape(-1, 2).sum(axis=1)
    ending = np.flatnonzero(pairs <= 0.0)
    last = int(ending[0]) if ending.size else n_pairs
    monotone = np.minimum.accumulate(pairs[:last])
    tau = -1.0 + 2.0 * float(np.sum(monotone)) + max(float(rho[2 * last]), 0.0)
    return float(m * n / max(tau, 1.0 / np.log10(m * n)))


def _autocovariances(x):
    """Of every chain at every lag, divided by n."""
    n = x.shape[1]
    centred = x - x.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, n=2 * n, axis=1)
    return np.fft.irfft(np.abs(spectrum) ** 2, n=2 * n, axis=1)[:, :n] / n
