"""Seeds and states of the GPUs' random numbers, as PyTorch's `cuda` module has them.

`tapejit.manual_seed` seeds all devices; these are for one of them.  A state is 16 bytes: the seed,
and how many draws there were.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from tapejit.runtime.cuda.machines import count
from tapejit.tensor.attributes import place
from tapejit.tensor.core import Tensor
from tapejit.tensor.random import Generator, generator_of


def manual_seed(seed: int) -> None:
    """Let the current GPU's random numbers begin anew from a seed; nothing where there is none.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.manual_seed(0)
    ...     first = tj.rand(3, device="cuda")
    ...     tj.cuda.manual_seed(0)
    ...     bool((tj.rand(3, device="cuda") == first).all())
    True
    """
    if count():
        _generator("cuda").manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Let every GPU's random numbers begin anew from a seed; nothing where there is none.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.manual_seed_all(0)
    """
    for number in range(count()):
        _generator(number).manual_seed(seed)


def seed() -> None:
    """Let the current GPU's random numbers begin anew from a seed that nobody knows.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.seed()
    """
    manual_seed(secrets.randbits(63))


def seed_all() -> None:
    """Let every GPU's random numbers begin anew from one seed that nobody knows.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.seed_all()
    """
    manual_seed_all(secrets.randbits(63))


def initial_seed() -> int:
    """The seed that the current GPU's random numbers began from.

    Errors  GpuUnavailable

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.manual_seed(7)
    ...     tj.cuda.initial_seed()
    7
    """
    return _generator("cuda").initial_seed()


def get_rng_state(device: Any = "cuda") -> Tensor:
    """Where a GPU's random numbers are: 16 bytes, on the CPU.

    Errors  GpuUnavailable

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.get_rng_state().shape
    torch.Size([16])
    """
    return _generator(device).get_state()


def set_rng_state(new_state: Tensor, device: Any = "cuda") -> None:
    """Continue where a GPU's random numbers were: what `get_rng_state` gave.

    Errors  GpuUnavailable; DtypeError for other bytes

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     state = tj.cuda.get_rng_state()
    ...     first = tj.rand(3, device="cuda")
    ...     tj.cuda.set_rng_state(state)
    ...     bool((tj.rand(3, device="cuda") == first).all())
    True
    """
    _generator(device).set_state(new_state)


def get_rng_state_all() -> list[Tensor]:
    """`get_rng_state` of each GPU.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     len(tj.cuda.get_rng_state_all())
    2
    """
    return [get_rng_state(number) for number in range(count())]


def set_rng_state_all(new_states: Iterable[Tensor]) -> None:
    """`set_rng_state` of each GPU, in order.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.set_rng_state_all(tj.cuda.get_rng_state_all())
    """
    for number, new_state in enumerate(new_states):
        set_rng_state(new_state, number)


def _generator(device: Any) -> Generator:
    """Of a GPU: a number, "cuda:1", or "cuda" for the current one."""
    return generator_of(place(device))
