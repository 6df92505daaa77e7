"""What callers see of a solver: callbacks and results, with parameters nested as theirs."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np

from tapejit.scipy.parameters import Parameters


def called_back(parameters: Parameters, callback: Callable | None) -> Callable | None:
    """A callback that is given nested parameters, with the signature by which SciPy goes."""
    if callback is None or parameters.is_vector:
        return callback
    if set(inspect.signature(callback).parameters) == {"intermediate_result"}:

        def take(intermediate_result):  # SciPy goes by the parameter's name
            copied = type(intermediate_result)(intermediate_result)
            return callback(intermediate_result=restored(parameters, copied))

        return take
    return lambda x, *state: callback(parameters.restored(np.copy(x)), *state)


def restored(parameters: Parameters, result):
    """A result with its parameters nested; the vector stays as `x_flat`."""
    result["x_flat"] = result["x"]
    result["x"] = parameters.restored(result["x"])
    return result
