"""Black-Scholes: prices of a book of European calls, and four greeks of every option.

The greeks are the gradient of the sum of all prices with respect to spot (delta), volatility
(vega), rate (rho) and time to expiry (theta, here with respect to time *left*).  The normal
distribution function goes through erf.

Formulas of the hand-written kernel: Hull, Options, Futures, and Other Derivatives, ch. 15 and 19.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks import peers
from benchmarks.records import Case, Runner, Target

SUMMARY = "Black-Scholes prices of European calls, sum and 4 greeks, float64"
ARGNUMS = (0, 1, 2, 3)  # spot, volatility, rate, time; the strike has none

TARGETS = (Target("warm", 2.0, ("jax", "torch", "numba")),)


def cases(quick: bool) -> list[Case]:
    """One million options."""
    n_options = 10_000 if quick else 1_000_000
    return [Case(f"{n_options:,} options", ({"n_options": n_options, "seed": 7},))]


def inputs(settings: dict, draw: int) -> tuple:
    """Spot, volatility, rate, time in years, strike."""
    rng = np.random.default_rng([settings["seed"], draw])
    ranges = ((50.0, 150.0), (0.1, 0.5), (0.01, 0.05), (0.25, 2.0), (60.0, 140.0))
    return tuple(rng.uniform(low, high, settings["n_options"]) for low, high in ranges)


def total_price(xp, erf):
    """The function, for one library's module and erf."""

    def normal_cdf(x):
        return 0.5 * (1.0 + erf(x / math.sqrt(2.0)))

    def total(spot, volatility, rate, time, strike):
        spread = volatility * xp.sqrt(time)
        d1 = (xp.log(spot / strike) + (rate + 0.5 * volatility * volatility) * time) / spread
        d2 = d1 - spread
        price = spot * normal_cdf(d1) - strike * xp.exp(-rate * time) * normal_cdf(d2)
        return xp.sum(price)

    return total


def kernel(spot, volatility, rate, time, strike, delta, vega, rho, theta):
    """Price and greeks of every option, by hand; returns the sum of the prices."""
    total = 0.0
    for i in range(spot.size):
        s, v, r, t, k = spot[i], volatility[i], rate[i], time[i], strike[i]
        root = math.sqrt(t)
        d1 = (math.log(s / k) + (r + 0.5 * v * v) * t) / (v * root)
        d2 = d1 - v * root
        cdf1 = 0.5 * (1.0 + math.erf(d1 / math.sqrt(2.0)))
        cdf2 = 0.5 * (1.0 + math.erf(d2 / math.sqrt(2.0)))
        density = math.exp(-0.5 * d1 * d1) / math.sqrt(2.0 * math.pi)
        discounted = k * math.exp(-r * t)
        total += s * cdf1 - discounted * cdf2
        delta[i] = cdf1
        vega[i] = s * density * root
        rho[i] = discounted * t * cdf2
        theta[i] = s * density * v / (2.0 * root) + r * discounted * cdf2
    return total


def with_outputs(kernel):
    """Allocate the greeks, run the loop."""

    def call(spot, volatility, rate, time, strike):
        greeks = [np.empty_like(spot) for _ in ARGNUMS]
        return kernel(spot, volatility, rate, time, strike, *greeks), greeks

    return call


def _tapejit(settings: dict) -> Runner:
    import tapejit as tj

    return peers.tapejit(total_price(np, tj.erf), ARGNUMS)


def _tapejit_eager(settings: dict) -> Runner:
    import tapejit as tj

    return peers.tapejit_eager(total_price(np, tj.erf), ARGNUMS)


def _jax(settings: dict) -> Runner:
    import jax.numpy as jnp
    from jax.scipy.special import erf

    return peers.jax(total_price(jnp, erf), ARGNUMS)


def _torch(settings: dict) -> Runner:
    import torch

    return peers.torch(total_price(torch, torch.erf), ARGNUMS)


def _numba(settings: dict) -> Runner:
    return peers.numba(kernel, with_outputs)


PEERS = {
    "tapejit": _tapejit,
    "tapejit eager": _tapejit_eager,
    "jax": _jax,
    "torch": _torch,
    "numba": _numba,
}
