"""Flows: right-hand sides of differential equations on vectors, and what is compiled from them.

A `Flow` is y' = f(t, y, p, rest), with p the vector of all that is differentiated by.  Its
derivatives are flows again (`with_tangents`, `with_sensitivities`), so what holds for solutions
of a flow holds for their derivatives: that is how derivatives of any order are had.  A `Run` is a
flow with SciPy's method and settings.

Nothing is recorded here: states go in and come out as numbers.  What is recorded is in `adjoint`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tapejit.errors import NotDifferentiable
from tapejit.scipy.lazy import integrate
from tapejit.scipy.parameters import plain
from tapejit.transforms.gradients import grad, jit
from tapejit.transforms.jacobians import jacobian
from tapejit.transforms.products import jvp

TIGHTER = 0.1
"""Tolerances of derivatives, relative to those of the solution."""

FINEST = 1e-13
"""The least relative tolerance; SciPy warns below 2.2e-14."""


def takes_jacobian(method) -> bool:
    """Whether one of SciPy's methods, a name or a class, is implicit."""
    return getattr(method, "__name__", method) in {"Radau", "BDF", "LSODA"}


# ---------------------------------------------------------------- right-hand sides


class Flow:
    """A right-hand side f(t, y, p, rest) on vectors."""

    __tapejit_cache__ = True

    def __init__(self, side: Callable):
        self.side = side
        self.compiled = jit(side)
        self.rows = jacobian(side, argnums=1)

        def along(t, y, weights, p, rest):
            return np.sum(side(t, y, p, rest) * weights)

        self.to_state = grad(along, argnums=1)
        """(t, y, w, p, rest) -> w f_y, without the matrix."""
        self.to_arguments = grad(along, argnums=3)
        """(t, y, w, p, rest) -> w f_p."""

    @cached_property
    def with_tangents(self) -> Flow:
        """That of the state and its tangent along one direction (of state and arguments)."""
        side = self.side

        def both(t, z, p, rest):
            n, m = z.shape[0] // 2, p.shape[0] // 2
            if not m:
                pair = jvp(lambda y: side(t, y, p, rest), (z[:n],), (z[n:],))
            else:
                pair = jvp(lambda y, p: side(t, y, p, rest), (z[:n], p[:m]), (z[n:], p[m:]))
            return np.concatenate(pair)

        return Flow(both)

    @cached_property
    def with_sensitivities(self) -> Flow:
        """That of the state and of its derivatives by initial state and arguments, in rows."""
        side = self.side
        by_state, by_p = jacobian(side, argnums=1), jacobian(side, argnums=2)

        def augmented(t, z, p, rest):
            n = _n_states(z.shape[0], p.shape[0])
            y, s = z[:n], z[n:].reshape(n, n + p.shape[0])
            rates = by_state(t, y, p, rest) @ s
            if p.shape[0]:
                rates = rates + np.concatenate([np.zeros((n, n)), by_p(t, y, p, rest)], axis=1)
            return np.concatenate([side(t, y, p, rest), rates.reshape(-1)])

        return Flow(augmented)


def _n_states(size: int, m: int) -> int:
    """The n of size = n + n (n + m)."""
    return round((np.sqrt((1 + m) ** 2 + 4 * size) - (1 + m)) / 2)


# ---------------------------------------------------------------- runs


class Path(NamedTuple):
    """States between SciPy's steps, by the interpolant of its method."""

    keys: list[float]
    """Where steps end, times `sign`: ascending."""
    pieces: list
    sign: float

    @classmethod
    def of(cls, solution) -> Path:
        """That of an OdeSolution."""
        sign = 1.0 if solution.ts[-1] >= solution.ts[0] else -1.0
        return cls((sign * solution.ts).tolist(), solution.interpolants, sign)

    def __call__(self, t: float) -> np.ndarray:
        """The state at one time."""
        return self.piece(t)(t)

    def at(self, times: np.ndarray) -> np.ndarray:
        """The states at times inside of one step, in columns."""
        return self.piece(times[len(times) // 2])(times)

    def piece(self, t: float):
        """The interpolant around a time."""
        place = bisect_right(self.keys, self.sign * t) - 1
        return self.pieces[min(max(place, 0), len(self.pieces) - 1)]

    def ends_between(self, a: float, b: float) -> list[float]:
        """The ends of steps strictly inside of an interval, a before b on this path."""
        first = bisect_right(self.keys, self.sign * a)
        last = bisect_left(self.keys, self.sign * b)
        return [self.sign * key for key in self.keys[first:last]]


class Run(NamedTuple):
    """What a solution does not depend on smoothly."""

    flow: Flow
    method: Any
    end: float
    rest: tuple
    options: dict
    known: np.ndarray | None = None
    """The states that SciPy found already, if any."""

    def states(self, times, y0, p) -> np.ndarray:
        """The states at all times but the first, a row each."""
        if self.known is not None:
            return self.known[len(self.known) - len(times) + 1 :]
        return self.solved(times[0], self.end, y0, p, t_eval=times[1:]).y.T

    def path(self, times, y0, p) -> Path:
        """The states at all times, to the tolerances of derivatives."""
        return Path.of(self.tighter().solved(times[0], self.end, y0, p, dense_output=True).sol)

    def solved(self, start, end, y0, p, **wanted):
        """SciPy's result.

        Errors  NotDifferentiable if it finds none
        """
        flow, rest, options = self.flow, self.rest, self.options
        if takes_jacobian(self.method):
            jac = lambda t, y: plain(flow.rows(float(t), y, p, rest))  # noqa: E731
            options = {**options, "jac": jac}
        return solved(
            lambda t, y: plain(flow.compiled(float(t), y, p, rest)),
            (start, end), y0, self.method, **options, **wanted,
        )  # fmt: skip

    def tighter(self) -> Run:
        """This run to the tolerances of derivatives."""
        return self._replace(options=tighter(self.options), known=None)

    def with_tangents(self) -> Run:
        """The run of states and their tangents."""
        return self.tighter()._replace(flow=self.flow.with_tangents)

    def with_sensitivities(self) -> Run:
        """The run of states and sensitivities."""
        return self.tighter()._replace(flow=self.flow.with_sensitivities)


def solved(*args, **options):
    """SciPy's solve_ivp.

    Errors  NotDifferentiable where it comes to no end
    """
    found = integrate().solve_ivp(*args, **options)
    if found.status:
        raise NotDifferentiable(f"solve_ivp: no derivatives were found: {found.message}")
    return found


def tighter(options: dict) -> dict:
    """Settings for derivatives.

    They have scales of their own, of which the absolute tolerance of the states says nothing; it
    counts only where it is below the relative one.
    """
    rtol = max(TIGHTER * np.min(options.get("rtol", 1e-3)), FINEST)
    atol = min(TIGHTER * np.min(options.get("atol", 1e-6)), rtol)
    return {**options, "rtol": rtol, "atol": atol}
