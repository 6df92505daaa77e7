"""`device=` of the transforms: functions of NumPy arrays that run on a GPU.

The arrays of a call go there, the function is recorded with `DeviceArray`s for arguments, in
NumPy's language as ever, and the arrays of its answer come back.  Arrays that the function reads
from outside go along (`tensor.core.as_data`).

Who wants the answer to stay passes tensors that are there: a transform follows its arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.errors import ArgumentError
from tapejit.runtime.devices import moved, on_host
from tapejit.shapes import CPU
from tapejit.tensor.attributes import place
from tapejit.tensor.core import Tensor
from tapejit.transforms import trees
from tapejit.transforms.destinations import taker
from tapejit.transforms.wrapping import as_function


def on_device(call: Callable, function: Callable, device: Any) -> Callable:
    """The callable with arrays moved to a device and back; itself if none is given.

    function  what the user wrote, which may have a parameter `out` of its own
    """
    if device is None:
        return call
    take_out = taker(function)

    def moving(*args, **kwargs):
        there = place(device)
        out = take_out(kwargs)
        arguments = _each((args, kwargs), lambda leaf: _sent(leaf, there))
        answer = _each(call(*arguments[0], **arguments[1]), on_host)
        return answer if out is None else out.fill(answer)

    return as_function(moving, call)


def _each(tree, change):
    leaves: list = []
    structure = trees.flatten(tree, leaves)
    return trees.unflatten(structure, [change(leaf) for leaf in leaves])


def _sent(leaf, device):
    """An argument on the device: arrays with axes; numbers may lie anywhere."""
    if isinstance(leaf, Tensor) and leaf._aval.device != device:
        raise ArgumentError(
            f"device: an argument is a tensor on {leaf._aval.device}, not on {device}\n"
            f"  try  .to({device!r}), or NumPy arrays, which are moved"
        )
    is_array = isinstance(leaf, np.ndarray) and leaf.ndim
    return moved(leaf, device) if is_array and device != CPU else leaf
