"""Solutions of differential equations as functions of what they depend on.

`Solution` maps times, the initial state y0 and arguments p to states.  A gradient L of them goes
backwards by the adjoint: with g the cotangents of the states at their times,

    lambda' = -f_y^T lambda,  lambda jumps by g[i] at times[i],  dL/dy0 = lambda(t0),
    dL/dp = the integral of lambda f_p,

n states whatever the number of arguments.  Three things have been decided:

- The state on the way back is the interpolant of a second forward solution.  It is never itself
  integrated backwards (Chen et al. 2018), which is unstable wherever the forward one forgets where
  it came from: stiff and dissipative systems (Gholami et al. 2019; CVODES interpolates likewise).
- dL/dp is a quadrature over the steps of both solutions (`_Integral`), no part of the state: Radau
  and BDF factorise matrices of n x n, not of (n + p) x (n + p) (SciML's GaussAdjoint).
- lambda is linear in g, so g is scaled to 1: tolerances are relative to the cotangents.

`Adjoint` is that backwards solution as a function again.  Derivatives of it are those of tangents,
which are the solution of a flow too (`Flow.with_tangents`), so any order is there in both modes.

Small systems (`_is_small`) go by forward sensitivities S = d(state)/d(y0, p), S' = f_y S + f_p: one
solution serves all cotangents and tangents, those of a Jacobian's rows for instance.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from tapejit.errors import NotDifferentiable
from tapejit.scipy.flows import Path, Run, solved, takes_jacobian, tighter
from tapejit.scipy.parameters import plain
from tapejit.scipy.solutions import outside, started
from tapejit.tensor import backward as engine
from tapejit.tensor.calls import Level
from tapejit.tensor.core import wrap
from tapejit.tensor.function import LinearFunction
from tapejit.tensor.guards import read
from tapejit.tensor.modes import enable_grad
from tapejit.transforms.vmap import vmap

SMALL, SMALL_STIFF = 6000, 100
"""States of the system of sensitivities, n (n + p), up to which it is solved.  It was as fast as
the adjoint with 4,000 to 20,000 of them; with methods that factorise its matrix, about 100."""

# ---------------------------------------------------------------- solutions


class Solution(LinearFunction):
    """States at times[1:], a row each, from y0 at times[0] with arguments p."""

    @staticmethod
    def forward(ctx, run, times, y0, p):
        """Solve."""
        ctx.run, ctx.path = run, None
        given = _values(times, y0, p)
        with outside():
            states = run.states(*given)
        result = wrap(np.array(states))
        ctx.save_for_backward(times, y0, p, result)
        ctx.save_for_forward(times, y0, p, result)
        return result

    @staticmethod
    def backward(ctx, g):
        """Cotangents: by the adjoint, or g times the sensitivities."""
        times, y0, p, states = ctx.saved_tensors
        if _is_small(ctx.run, y0, p):
            by_y0, by_p = _sensitivities(ctx.run, times, y0, p)
            to_y0 = np.einsum("ti,tij->j", g, by_y0)
            to_p = np.einsum("ti,tij->j", g, by_p)
        else:
            if ctx.path is None:  # one for all rows of a Jacobian
                with outside():
                    ctx.path = ctx.run.path(*_values(times, y0, p))
            pair: Any = Adjoint.apply(ctx.run, ctx.path, times, y0, p, g)
            to_y0, to_p = pair
        to_times = None
        if ctx.needs_input_grad[1]:
            begin, later = _rates(ctx.run, times, y0, p, states)
            first = -np.sum(to_y0 * begin)
            to_times = np.concatenate([first[None], np.sum(g * later, axis=1)])
        return None, to_times, to_y0, to_p if p.shape[0] else None

    @staticmethod
    def jvp(ctx, _, t_times, t_y0, t_p):
        """Tangents: solved for, or the sensitivities times those of the arguments."""
        times, y0, p, states = ctx.saved_tensors
        if not _is_small(ctx.run, y0, p):
            return _tangents(ctx.run, times, y0, p, t_times, t_y0, t_p)
        by_y0, by_p = _sensitivities(ctx.run, times, y0, p)
        tangent = states * 0.0
        if t_y0 is not None:
            tangent = tangent + by_y0 @ t_y0
        if t_p is not None and p.shape[0]:
            tangent = tangent + by_p @ t_p
        if t_times is not None:
            begin, later = _rates(ctx.run, times, y0, p, states)
            tangent = tangent + later * t_times[1:][:, None] - (by_y0 @ begin) * t_times[0]
        return tangent


def _is_small(run: Run, y0, p) -> bool:
    n, m = y0.shape[0], p.shape[0]
    return n * (n + m) <= (SMALL_STIFF if takes_jacobian(run.method) else SMALL)


def _values(*tensors) -> list[np.ndarray]:
    """Numbers to solve with; what is recorded depends on them."""
    return [np.array(read(x), np.float64) for x in tensors]


def _sensitivities(run: Run, times, y0, p):
    """Derivatives of the states by y0 and by p, per time; recorded."""
    n, m = y0.shape[0], p.shape[0]
    z0 = np.concatenate([y0, np.eye(n, n + m).reshape(-1)])
    z: Any = Solution.apply(run.with_sensitivities(), times, z0, p)
    s = z[:, n:].reshape(z.shape[0], n, n + m)
    return s[:, :, :n], s[:, :, n:]


def _tangents(run: Run, times, y0, p, t_times, t_y0, t_p):
    """The tangent of the states along one direction, None for zeros; recorded."""
    n, side, rest = y0.shape[0], run.flow.side, run.rest
    start = y0 * 0.0 if t_y0 is None else t_y0
    if t_times is not None:
        start = start - side(times[0], y0, p, rest) * t_times[0]
    along = p * 0.0 if t_p is None else t_p
    # linear in the direction, which is made 1 large as cotangents are
    size = max(np.max(np.abs(x), initial=0.0) for x in _values(start, along)) or 1.0
    both = np.concatenate([y0, start / size]), np.concatenate([p, along / size])
    z: Any = Solution.apply(run.with_tangents(), times, *both)
    tangent = z[:, n:] * size
    if t_times is not None:
        tangent = tangent + _later_rates(run, times, p, z[:, :n]) * t_times[1:][:, None]
    return tangent


def _rates(run: Run, times, y0, p, states):
    """The right-hand side at the start, and at each later time; recorded."""
    return run.flow.side(times[0], y0, p, run.rest), _later_rates(run, times, p, states)


def _later_rates(run: Run, times, p, states):
    side, rest = run.flow.side, run.rest
    return vmap(lambda t, y: side(t, y, p, rest))(times[1:], states)


# ---------------------------------------------------------------- cotangents as functions


class Adjoint(LinearFunction):
    """Cotangents of y0 and p, from those of the states; linear in these."""

    @staticmethod
    def forward(ctx, run, path, times, y0, p, g):
        """Solve backwards."""
        ctx.run, ctx.path = run, path
        ctx.save_for_backward(times, y0, p, g)
        ctx.save_for_forward(times, y0, p, g)
        when, _, arguments, cotangents = _values(times, y0, p, g)
        with outside():
            found = _backwards(run, path, when, arguments, cotangents)
        return tuple([wrap(x) for x in found])

    @staticmethod
    def backward(ctx, h_y0, h_p):
        """With J the derivative of the states: J h for g; that of g J h, h fixed, for the rest."""
        tangents, (to_times, to_y0, to_p) = _curvature(ctx, (None, h_y0, h_p))
        return None, None, to_times, to_y0, to_p, tangents

    @staticmethod
    def jvp(ctx, _, path, t_times, t_y0, t_p, t_g):
        """The adjoint of t_g, and second derivatives, which are symmetric."""
        times, y0, p, _ = ctx.saved_tensors
        answers: Any = y0 * 0.0, p * 0.0
        if t_g is not None:
            answers = Adjoint.apply(ctx.run, ctx.path, times, y0, p, t_g)
        if any(t is not None for t in (t_times, t_y0, t_p)):
            _, (_, to_y0, to_p) = _curvature(ctx, (t_times, t_y0, t_p))
            more = zip(answers, (to_y0, to_p), strict=True)
            answers = tuple([x if y is None else x + y for x, y in more])
        return answers


def _curvature(ctx, directions):
    """J h, and the derivatives of g J h by times, y0 and p; None where that is zero."""
    *given, g = ctx.saved_tensors
    with enable_grad():
        variables = [x.reshape(x.shape) if x._tracked else started(x._value) for x in given]
        with Level(variables) as level:
            tangents = _tangents(ctx.run, *variables, *directions)
        found = engine.gradients_of(
            [tangents], variables, [g], retain_graph=True, create_graph=True, level=level
        )
    return tangents, found


# ---------------------------------------------------------------- the backwards solution


def _backwards(run: Run, path: Path, times, p, g) -> tuple[np.ndarray, np.ndarray]:
    """The cotangents of y0 and of p."""
    integral = _Integral(run, p)
    state = np.zeros(g.shape[1])
    size = np.max(np.abs(g), initial=0.0)
    if not size or not np.isfinite(size):
        return state * size, integral.total * size
    stops = [0, *(i + 1 for i in range(len(g)) if g[i].any())]
    step = None
    for end, begin in pairwise(reversed(stops)):
        state = state + g[end - 1] / size
        if times[end] != times[begin]:
            back = _Stretch(run, path, times[end], times[begin], p)
            state, step = back.solve(state, step)
            if p.size:
                integral.add(back)
    return state * size, integral.total * size


class _Stretch:
    """lambda between two times, without jumps.

    Its time s counts from the end: near 0 there is no least step, where that of t is 1e-16 t, too
    much for what stiff systems do with a jump (BDF gave up).
    """

    def __init__(self, run: Run, path: Path, end, begin, p):
        self.run, self.path, self.p = run, path, p
        self.end, self.begin = float(end), float(begin)
        self.length = abs(self.end - self.begin)
        self.sign = 1.0 if self.begin < self.end else -1.0
        self.adjoint: Any = None

    def solve(self, state, first_step):
        """(lambda at the begin, the longest step), from that at the end."""
        flow, rest = self.run.flow, self.run.rest
        options = {**tighter(self.run.options), "dense_output": self.p.size > 0}
        options["first_step"] = None
        if first_step is not None and not takes_jacobian(self.run.method):
            options["first_step"] = min(first_step, self.length)  # stiff systems want a new one
        if takes_jacobian(self.run.method):
            options["jac"] = lambda s, _: self.sign * plain(flow.rows(*self.at(s), self.p, rest)).T

        def rate(s, weights):
            return self.sign * plain(flow.to_state(*self.at(s), weights, self.p, rest))

        found = solved(rate, (0.0, self.length), state, self.run.method, **options)
        if self.p.size:
            self.adjoint = Path.of(found.sol)
        return found.y[:, -1], np.max(np.diff(found.t))

    def at(self, s):
        """The time, and the state at it."""
        t = self.end - self.sign * float(s)
        return t, self.path(t)

    def steps(self) -> list[tuple[float, float]]:
        """Between the ends of all steps, this way and of the state."""
        inner = [abs(self.end - t) for t in self.path.ends_between(self.begin, self.end)]
        return list(pairwise(sorted({*self.adjoint.keys, *inner})))

    def slopes(self, s: np.ndarray) -> np.ndarray:
        """lambda f_p, a row for each place inside of a step.

        One call of each interpolant for all: it costs as much as several of f_p.
        """
        times = self.end - self.sign * s
        states, cotangents = self.path.at(times).T, self.adjoint.at(s).T
        rows = np.empty((len(s), self.p.size))
        for i, t in enumerate(times.tolist()):
            given = t, states[i], cotangents[i], self.p, self.run.rest
            rows[i] = plain(self.run.flow.to_arguments(*given))
        return self.sign * rows


NODES = np.array([-0.9604912687080203, -0.7745966692414834, -0.4342437493468026, 0.0])
NODES = np.concatenate([NODES, -NODES[2::-1]])
KRONROD = np.array([0.1046562260264673, 0.2684880898683334, 0.4013974147759622, 0.4509165386584741])
KRONROD = np.concatenate([KRONROD, KRONROD[2::-1]])
GAUSS = np.array([0, 5, 0, 8, 0, 5, 0]) / 9
"""Kronrod's rule of 7 points, and Gauss's of 3 among them, whose difference estimates its error."""

MOST_HALVED = 10_000
"""Steps that are halved for one gradient.  A jump of the integrand takes about 40."""


class _Integral:
    """The integral of lambda f_p, step by step, halved where it is not as exact as it should be."""

    def __init__(self, run: Run, p: np.ndarray):
        options = tighter(run.options)
        self.rtol = options["rtol"]
        self.atol = options["atol"] / np.maximum(np.abs(p), 1.0)  # large arguments, small slopes
        self.total = np.zeros(p.size)
        self.size = np.zeros(p.size)
        """The sum of absolute values, relative to which errors are: parts may cancel."""
        self.n_halved = 0

    def add(self, back: _Stretch):
        """Add that of a stretch."""
        for a, b in back.steps():
            self.add_step(back, a, b)

    def add_step(self, back: _Stretch, a: float, b: float):
        """Add what is between two places."""
        half = 0.5 * (b - a)
        slopes = half * back.slopes(a + half * (1.0 + NODES))
        if self.n_halved > MOST_HALVED or not np.all(np.isfinite(slopes)):
            raise NotDifferentiable(
                "solve_ivp: the derivative by args has no finite integral\n"
                f"  got  {slopes[len(NODES) // 2] / half} at {a + half} before time {back.end}"
            )
        step, error = KRONROD @ slopes, (KRONROD - GAUSS) @ slopes
        size = self.size + np.abs(step)
        if np.sqrt(np.mean((error / (self.atol + self.rtol * size)) ** 2)) <= 1:
            self.total, self.size = self.total + step, size
            return
        self.n_halved += 1
        self.add_step(back, a, a + half)
        self.add_step(back, a + half, b)
