"""What the hazard tests share: a table per file, and the comparison with a fresh recording.

A *hazard* is a generator: it builds a function as users write them, and yields ``(f, args)`` or
``(f, args, kwargs)`` again and again while it changes what the function reads.  After each yield
the compiled function is called three times (recorded or found again, then by its fast way) and
must answer, or fail, as a fresh recording of the same function does.

An *effect* returns ``(f, observe)``: `observe` looks at what the function did to the world, and
may change it.  A compiled run and a run that records every call must see the same history.
"""

from __future__ import annotations

import random
import warnings

import numpy as np

import tapejit as tj

X = np.array([1.0, -2.0, 3.0])
Y = np.array([4.0, 5.0, -6.0])
Z = np.zeros(3)
TRANSFORMS = {"jit": tj.jit, "value_and_grad": tj.value_and_grad}


def outcome(call, args, kwargs=None):
    """What a call gives, or how it fails."""
    try:
        return call(*args, **(kwargs or {}))
    except Exception as error:
        return type(error), str(error).partition("\n")[0]


def assert_same(got, want, where):
    """The same structure, types, dtypes and numbers, signs of zeros included."""
    assert type(got) is type(want), (where, got, want)
    if isinstance(want, tuple | list):
        assert len(got) == len(want), (where, got, want)
        for i, (a, b) in enumerate(zip(got, want, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(want, dict):
        assert list(got) == list(want), (where, got, want)
        for key in want:
            assert_same(got[key], want[key], f"{where}[{key!r}]")
    elif isinstance(want, tj.Tensor):
        assert got.dtype is want.dtype
        assert_same(got.detach().numpy(), want.detach().numpy(), where)
    elif isinstance(want, np.ndarray | np.generic | float):
        a, b = np.asarray(got), np.asarray(want)
        assert a.dtype == b.dtype and a.shape == b.shape, (where, got, want)
        # what is recorded at every call runs row by row at first and in kernels later
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14, err_msg=where)
        if b.dtype.kind == "f":
            zero = b == 0
            np.testing.assert_array_equal(np.signbit(a[zero]), np.signbit(b[zero]), err_msg=where)
    else:
        assert got == want or got != got, (where, got, want)


def run_hazard(hazard, transform):
    """Follow one hazard through all its changes."""
    compiled = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for number, (f, args, *rest) in enumerate(hazard()):
            args = args if isinstance(args, tuple) else (args,)
            kwargs = rest[0] if rest else {}
            call, _ = compiled.setdefault(id(f), (transform(f), f))
            want = outcome(transform(f), args, kwargs)
            for repeat in range(3):
                got = outcome(call, args, kwargs)
                assert_same(got, want, f"state {number}, call {repeat}")


def run_effect(effect, transform):
    """The history that a compiled function makes, against one recorded at every call."""
    calls = [X, X, Y, X, Y, -X] * 2

    def history(wrap):
        random.seed(0)
        np.random.seed(0)
        f, observe = effect()
        call = wrap(f)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return [(outcome(call, (x,)), repr(observe())) for x in calls]

    got = history(transform)
    want = history(lambda f: lambda x: transform(f)(x))
    for number, (a, b) in enumerate(zip(got, want, strict=True)):
        assert_same(a, b, f"call {number}")
