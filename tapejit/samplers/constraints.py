"""Parameters with bounds, as functions of numbers without bounds.

The one idea: a sampler moves in all of R^n, a model speaks of what it means (a scale is positive, a
share lies between 0 and 1).  A constraint maps the first to the second and says what the density
must be multiplied with, the determinant of the map.  They are written with NumPy, so the same line
is recorded into the density and turns draws back into parameters afterwards.

The maps are Stan's (reference manual, "Constraint Transforms"), so step sizes and unconstrained
draws can be compared; the determinants are written so that nothing overflows on the way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapejit.errors import ArgumentError

# ---------------------------------------------------------------- what a constraint is


class Constraint:
    """A map from all real numbers onto the values that a parameter may have."""

    def free_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the unconstrained numbers of a parameter of this shape."""
        return shape

    def constrain(self, free) -> tuple[Any, Any]:
        """The parameter, and the sum of the log determinant; leading axes are batches."""
        raise NotImplementedError

    def free(self, value: np.ndarray) -> np.ndarray:
        """The unconstrained numbers of a value that is inside."""
        raise NotImplementedError


class Real(Constraint):
    """No constraint."""

    def constrain(self, free):
        return free, 0.0

    def free(self, value):
        return value

    def __repr__(self):
        return "real"


class Interval(Constraint):
    """Between two numbers, of which one may be infinite."""

    def __init__(self, low: float, high: float):
        self.low, self.high = float(low), float(high)
        if not self.low < self.high:
            raise ArgumentError(
                f"interval: the lower bound must be below the upper one, got {low} and {high}"
            )

    def constrain(self, free):
        if self.low == -np.inf and self.high == np.inf:
            return free, 0.0
        if self.high == np.inf:
            return self.low + np.exp(free), np.sum(free)
        if self.low == -np.inf:
            return self.high - np.exp(free), np.sum(free)
        width = self.high - self.low
        below, above = -np.logaddexp(0.0, -free), -np.logaddexp(0.0, free)  # log of both shares
        size = int(np.prod(np.shape(free)))
        return self.low + width * np.exp(below), np.sum(below + above) + size * np.log(width)

    def free(self, value):
        if self.low == -np.inf and self.high == np.inf:
            return value
        if self.high == np.inf:
            return np.log(value - self.low)
        if self.low == -np.inf:
            return np.log(self.high - value)
        return np.log(value - self.low) - np.log(self.high - value)

    def __repr__(self):
        if (self.low, self.high) == (0.0, np.inf):
            return "positive"
        return f"interval({self.low:g}, {self.high:g})"


class Simplex(Constraint):
    """Positive numbers along the last axis with sum 1, by breaking a stick."""

    def free_shape(self, shape):
        if not shape or shape[-1] < 2:
            raise ArgumentError(f"simplex: an axis of two or more is needed, got shape {shape}")
        return (*shape[:-1], shape[-1] - 1)

    def constrain(self, free):
        count = np.shape(free)[-1]
        centred = free - np.log(np.arange(count, 0, -1.0))  # 0 gives equal shares
        taken, left = -np.logaddexp(0.0, -centred), -np.logaddexp(0.0, centred)
        remaining = np.cumsum(left, axis=-1)  # log of the stick after each break
        shares = taken + remaining - left
        log_value = np.concatenate([shares, remaining[..., -1:]], axis=-1)
        return np.exp(log_value), np.sum(shares + left)

    def free(self, value):
        count = value.shape[-1] - 1
        left = 1.0 - np.cumsum(value[..., :-1], axis=-1)
        return np.log(value[..., :-1]) - np.log(left) + np.log(np.arange(count, 0, -1.0))

    def __repr__(self):
        return "simplex"


class Ordered(Constraint):
    """Increasing along the last axis."""

    def free_shape(self, shape):
        if not shape:
            raise ArgumentError("ordered: an axis is needed, got a number")
        return shape

    def constrain(self, free):
        steps = np.concatenate([free[..., :1], np.exp(free[..., 1:])], axis=-1)
        return np.cumsum(steps, axis=-1), np.sum(free[..., 1:])

    def free(self, value):
        return np.concatenate([value[..., :1], np.log(np.diff(value, axis=-1))], axis=-1)

    def __repr__(self):
        return "ordered"


# ---------------------------------------------------------------- what users write

real = Real()
positive = Interval(0.0, np.inf)
simplex = Simplex()
ordered = Ordered()


def interval(low: float, high: float) -> Constraint:
    """A parameter between two numbers; one of them may be infinite.

    Errors  ArgumentError unless low < high
    Like    numpyro.distributions.constraints.interval, Stan's <lower=..., upper=...>

    >>> import numpy as np, tapejit as tj
    >>> share = tj.samplers.interval(0.0, 2.0)
    >>> value, log_determinant = share.constrain(np.array([0.0]))
    >>> value, np.round(log_determinant, 4)
    (array([1.]), np.float64(-0.6931))
    """
    return Interval(low, high)
