"""Hazards of captured Python: closures, defaults, objects, modules, and how arguments are nested.

Written as users write it, warts included; what a row does is told by its name.
"""

import collections
import dataclasses
import functools
import json
import os
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import pytest
from hazards import TRANSFORMS, X, run_hazard

HAZARDS = {}


def hazard(function):
    """Enter a row."""
    assert function.__name__ not in HAZARDS
    HAZARDS[function.__name__] = function
    return function


@hazard
def closure_numbers():
    def f(x):
        return np.sum(x) * k

    for k in (
        2.0,
        3.0,
        2.0,
        1,
        1.0,
        True,
        0.0,
        -0.0,
        float("nan"),
        10**20,
        np.float32(3),
        np.float64(3),
        np.int64(3),
        np.int8(3),
        np.bool_(True),
    ):
        yield f, X


@hazard
def closure_number_in_loop_functions():
    fs = []
    for i in range(3):
        fs.append(lambda x: np.sum(x) * i)
    for i in (0, 5, 2):
        for f in fs:
            yield f, X


@hazard
def mutable_default():
    def f(x, w=[1.0, 2.0]):
        return np.sum(x) * w[0] + w[-1]

    yield f, X
    f.__defaults__[0][0] = 5.0
    yield f, X
    f.__defaults__[0].append(9.0)
    yield f, X
    f.__defaults__ = ([7.0],)
    yield f, X


@hazard
def kwdefaults():
    def f(x, *, w=1.0):
        return np.sum(x) * w

    yield f, X
    f.__kwdefaults__["w"] = 5.0
    yield f, X
    f.__kwdefaults__ = {"w": 6.0}
    yield f, X
    yield f, (X,), {"w": 2.0}
    yield f, (X,), {"w": 2}
    yield f, (X,), {"w": True}


@hazard
def defaults_added_later():
    def f(x, y=None):
        return np.sum(x) if y is None else np.sum(x) * y

    yield f, X
    f.__defaults__ = (3.0,)
    yield f, X
    f.__defaults__ = (None,)
    yield f, X


@hazard
def code_replaced():
    def f(x):
        return np.sum(x) * 2.0

    def g(x):
        return np.sum(x) * 3.0

    yield f, X
    f.__code__ = g.__code__
    yield f, X


@hazard
def helper_code_replaced():
    def h(x):
        return x * 2.0

    def g(x):
        return x * 3.0

    def f(x):
        return np.sum(h(x))

    yield f, X
    h.__code__ = g.__code__
    yield f, X


@hazard
def properties_slots():
    class P:
        __slots__ = ("a", "_b")

        def __init__(s):
            s.a = 1.0
            s._b = 2.0

        @property
        def b(s):
            return s._b * 2

    p = P()

    def f(x):
        return np.sum(x) * p.a + p.b

    yield f, X
    p.a = 4.0
    yield f, X
    p._b = 4.0
    yield f, X
    P.b = property(lambda s: 100.0)
    yield f, X


@hazard
def getattr_dunder():
    class P:
        def __init__(s):
            s.d = {"w": 1.0}

        def __getattr__(s, n):
            return s.d[n]

    p = P()

    def f(x):
        return np.sum(x) * p.w

    yield f, X
    p.d["w"] = 4.0
    yield f, X
    p.w = 9.0
    yield f, X
    del p.w
    yield f, X


@hazard
def frozen_dataclass_and_replace():
    @dataclasses.dataclass(frozen=True)
    class C:
        a: float
        n: int = 2

    c = C(1.0)

    def f(x):
        return np.sum(x**c.n) * c.a

    yield f, X
    c = dataclasses.replace(c, a=2.0)
    yield f, X
    c = dataclasses.replace(c, n=3)
    yield f, X
    object.__setattr__(c, "a", 7.0)
    yield f, X


@hazard
def partials():
    def h(x, k, s=1.0):
        return np.sum(x) * k + s

    p = functools.partial(h, k=2.0)
    yield p, X
    p.keywords["k"] = 3.0
    yield p, X
    q = functools.partial(h, s=5.0)

    def f(x):
        return q(x, 2.0)

    yield f, X
    q.keywords["s"] = 6.0
    yield f, X
    q = functools.partial(h, s=8.0)
    yield f, X


@hazard
def lru_cached_helper():
    d = {"k": 2.0}

    @functools.lru_cache
    def h(n):
        return d["k"] * n

    def f(x):
        return np.sum(x) * h(3)

    yield f, X
    d["k"] = 3.0
    yield f, X
    h.cache_clear()
    yield f, X


@hazard
def lru_cached_array_changed_in_place():
    @functools.lru_cache
    def table():
        return np.ones(3)

    def f(x):
        return np.sum(x[:3] * table())

    yield f, X
    table()[:] = 5.0
    yield f, X


@hazard
def lru_cached_array_of_a_computed_argument():
    @functools.lru_cache
    def table(n):
        return np.ones(n)

    def f(x):
        return np.sum(x * table(len(x)))

    yield f, X
    table(len(X))[:] = 5.0
    yield f, X


@hazard
def wraps_decorator():
    def deco(fn):
        @functools.wraps(fn)
        def inner(*a, **k):
            return fn(*a, **k) * scale

        return inner

    scale = 2.0

    @deco
    def f(x):
        return np.sum(x) * m

    m = 1.0
    yield f, X
    scale = 3.0
    yield f, X
    m = 3.0
    yield f, X
    f.__wrapped__ = lambda x: 0.0
    yield f, X


@hazard
def singledispatch():
    @functools.singledispatch
    def h(c, x):
        return x

    @h.register
    def _(c: int, x):
        return x * 2.0

    c = 1

    def f(x):
        return np.sum(h(c, x))

    yield f, X
    c = 1.0
    yield f, X
    h.register(float, lambda c, x: x * 5.0)
    yield f, X
    c = 1
    yield f, X
    h.register(int, lambda c, x: x * 9.0)
    yield f, X


@hazard
def bound_methods_and_monkeypatch():
    class M:
        k = 1.0

        def m(s, x):
            return np.sum(x) * s.k

    a = M()
    f = a.m
    yield f, X
    a.k = 2.0
    yield f, X
    M.k = 5.0
    yield f, X
    del a.k
    yield f, X
    M.m = lambda s, x: 0.0 * np.sum(x)
    yield f, X

    def g(x):
        return a.m(x)

    yield g, X
    M.m = lambda s, x: 3.0 * np.sum(x)
    yield g, X
    a.m = lambda x: 4.0 * np.sum(x)
    yield g, X


@hazard
def callable_object():
    class C:
        def __init__(s):
            s.w = np.array([1.0, 2.0, 3.0])

        def __call__(s, x):
            return np.sum(s.w * x)

    c = C()
    yield c, X
    c.w[0] = 5.0
    yield c, X
    c.w = c.w[::-1]
    yield c, X
    c.w = c.w.astype(np.float32)
    yield c, X
    C.__call__ = lambda s, x: np.sum(x)
    yield c, X


@hazard
def generator_captured():
    g = iter([1.0, 2.0, 3.0, 4.0] * 20)
    log = []

    def f(x):
        return np.sum(x) * 0.0 + 1.0

    yield f, X


@hazard
def nested_closure_at_call():
    k = 2.0

    def f(x):
        def g(y):
            return y * k

        def h():
            return lambda z: g(z) + k

        return np.sum(h()(x))

    yield f, X
    k = 3.0
    yield f, X


@hazard
def lambdas_in_dict():
    ops = {"a": lambda x: x * 2.0, "b": lambda x: x * s}
    s = 3.0
    key = "a"

    def f(x):
        return np.sum(ops[key](x))

    yield f, X
    key = "b"
    yield f, X
    s = 4.0
    yield f, X
    ops["b"] = lambda x: x - 1.0
    yield f, X


@hazard
def comprehension_scopes():
    ws = [1.0, 2.0]
    k = 2.0

    def f(x):
        return sum([np.sum(x) * w * k for w in ws]) + sum(w * k for w in ws if w > t)

    t = 0.0
    yield f, X
    ws[1] = 5.0
    yield f, X
    k = 3.0
    yield f, X
    t = 1.5
    yield f, X
    ws.append(1.0)
    yield f, X


mod = sys.modules["usermod"] = types.ModuleType("usermod")
exec("k = 2.0\ndef h(x): return x * k\nclass C:\n  k = 1.0\n", mod.__dict__)


@hazard
def from_import_then_rebind():
    from usermod import h

    def f(x):
        return np.sum(h(x)) * mod.k

    mod.k = 2.0
    yield f, X
    mod.k = 3.0
    yield f, X

    def g(x):
        import usermod
        from usermod import h as hh
        from usermod import k

        return np.sum(hh(x)) * usermod.k * k

    yield g, X
    mod.k = 4.0
    yield g, X
    mod.h = lambda x: x
    yield g, X
    sys.modules["usermod"] = m2 = types.ModuleType("usermod")
    m2.h = lambda x: x * 7
    m2.k = 1.0
    yield g, X
    sys.modules["usermod"] = mod


@hazard
def exec_eval():
    k = 2.0
    env = {"k": 2.0}

    def f(x):
        return np.sum(x) * eval("k", env)

    yield f, X
    env["k"] = 3.0
    yield f, X

    def g(x):
        d = {"x": x}
        exec("y = x * k", env, d)
        return np.sum(d["y"])

    yield g, X
    env["k"] = 9.0
    yield g, X
    h = globals

    def ff(x):
        return np.sum(x) * h()["GK"]

    globals()["GK"] = 1.0
    yield ff, X
    globals()["GK"] = 2.0
    yield ff, X

    def fv(x):
        return np.sum(x) * vars(ns)["k"]

    ns = types.SimpleNamespace(k=1.0)
    yield fv, X
    ns.k = 3.0
    yield fv, X


@hazard
def environ():
    def f(x):
        return np.sum(x) * float(os.environ.get("HZ", "1"))

    yield f, X
    os.environ["HZ"] = "3"
    yield f, X
    env = os.environ

    def g(x):
        return np.sum(x) * float(env["HZ"])

    yield g, X
    env["HZ"] = "5"
    yield g, X

    def h(x):
        return np.sum(x) * float(os.getenv("HZ"))

    yield h, X
    os.environ["HZ"] = "6"
    yield h, X


@hazard
def files():
    path = Path(tempfile.mkdtemp()) / "number.txt"
    p = str(path)

    def f(x):
        with open(p) as file:
            return np.sum(x) * float(file.read())

    path.write_text("2.0")
    yield f, X
    path.write_text("3.0")
    yield f, X

    def g(x):
        return np.sum(x) * float(path.read_text())

    yield g, X
    path.write_text("5.0")
    yield g, X

    def h(x):
        return np.sum(x) * float(np.loadtxt(p))

    yield h, X
    path.write_text("6.0")
    yield h, X

    def j(x):
        with open(p) as file:
            return np.sum(x) * json.load(file)

    yield j, X
    path.write_text("7.0")
    yield j, X


@hazard
def set_and_dict_order():
    d = {"a": 1.0, "b": 2.0}

    def f(x):
        y = np.sum(x)
        for k in d:
            y = y * d[k] + 1.0
        return y

    yield f, X
    d = {"b": 2.0, "a": 1.0}
    yield f, X
    d["a"] = d.pop("a")
    yield f, X
    v = d.pop("b")
    d["b"] = v
    yield f, X


@hazard
def captured_array_is_argument():
    w = np.array([1.0, 2.0, 3.0])

    def f(x):
        return np.sum(x * w)

    yield f, w
    yield f, X
    w[0] = 4.0
    yield f, w
    yield f, X
    yield f, w[::-1]


@hazard
def layouts():
    w = np.arange(6.0).reshape(2, 3)

    def f(x):
        return np.sum(x * w)

    for w in (
        w,
        w.copy(),
        np.asfortranarray(w),
        w[::-1],
        w[:, ::-1],
        w[:1],
        w.astype(np.float32),
        w.astype(">f8"),
        w.astype(int),
        w > 2,
        w.T.copy().T,
    ):
        yield f, np.ones((2, 3))
    for x in (
        w,
        np.asfortranarray(w),
        w[::-1] * 1.0,
        w[:1] * 1.0,
        np.broadcast_to(w[0], (2, 3)) * 1.0,
    ):
        yield f, x.astype(float)


@hazard
def arg_layouts():
    def f(x):
        return np.sum(np.sin(x) * x)

    b = np.arange(24.0).reshape(2, 3, 4)
    for x in (
        b,
        b.transpose(2, 0, 1),
        b[::-1],
        b[..., ::-2],
        np.asfortranarray(b),
        b[0],
        b[0, 0],
        np.broadcast_to(b[0], (2, 3, 4)),
        b.astype(">f8"),
        b.astype("f4"),
        b[:0],
        b[0, 0, 0],
        np.array(3.0),
        3.0,
        np.float32(2),
    ):
        yield f, x
        if isinstance(x, np.ndarray):
            y = x.view()
            y.flags.writeable = False
            yield f, y


@hazard
def misaligned():
    def f(x):
        return np.sum(x * x)

    raw = np.zeros(8 * 5 + 1, np.uint8)
    x = raw[1:].view("f8") if (raw[1:].nbytes % 8 == 0) else raw[1:41].view("f8")
    x[:] = np.arange(5)
    yield f, x
    yield f, x.copy()
    x[0] = 10
    yield f, x


@hazard
def views_of_one_base():
    b = np.arange(6.0)

    def f(x, y):
        return np.sum(x * y)

    yield f, (b[:3], b[3:])
    yield f, (b[1:4], b[:3])
    yield f, (b[:3], b[:3])
    yield f, (b, b)


@hazard
def static_args():
    def f(x, n):
        return np.sum(x) * n if isinstance(n, bool) is False else np.sum(x) - 100

    for n in (
        1,
        1.0,
        True,
        np.bool_(True),
        np.int64(1),
        np.float32(1),
        0,
        -0.0,
        0.0,
        False,
        10**30,
        1,
        1.0,
    ):
        yield f, (X, n)


@hazard
def static_complex():
    def f(x, z):
        return np.sum(x) * z.real + np.copysign(1.0, z.imag)

    for z in (1 + 0j, complex(1, -0.0), 2 + 0j, 1 + 0j, complex(-0.0, 1), complex(0.0, 1)):
        yield f, (X, z)


@hazard
def dict_key_types():
    def f(x, d):
        return np.sum(x) * sum(
            float(k) * (2 if isinstance(k, bool) else 3 if isinstance(k, float) else 1) * v
            for k, v in d.items()
        )

    for d in (
        {1: 2.0},
        {True: 2.0},
        {1.0: 2.0},
        {1: 2.0, 2: 3.0},
        {2: 3.0, 1: 2.0},
        {0.0: 1.0},
        {-0.0: 1.0},
    ):
        yield f, (X, d)


@hazard
def dict_order_argument():
    def f(x, d):
        y = np.sum(x)
        for k, v in d.items():
            y = y * v + 1
        return y

    yield f, (X, {"a": 1.0, "b": 2.0})
    yield f, (X, {"b": 2.0, "a": 1.0})
    yield f, (X, collections.OrderedDict(b=2.0, a=1.0))


@hazard
def none_leaves():
    def f(x, y=None, z=None):
        return np.sum(x) + (1 if y is None else np.sum(y)) * (2 if z is None else 3)

    for a in ((X,), (X, None), (X, X), (X, None, X), (X, X, None), (X, [None, X][0])):
        yield f, a


@hazard
def containers_args():
    P = collections.namedtuple("P", "a b")
    Q = collections.namedtuple("Q", "a b")

    def f(x, p):
        return np.sum(x) * p[0] + p[1] * (
            2 if type(p) is P else 3 if type(p) is Q else 4 if type(p) is list else 5
        )

    for p in (P(1.0, 2.0), Q(1.0, 2.0), [1.0, 2.0], (1.0, 2.0), P(1.0, 2.0)):
        yield f, (X, p)


@hazard
def starred():
    def f(*xs, **kw):
        return sum(np.sum(x) * (i + 1) for i, x in enumerate(xs)) + sum(
            v * (i + 2) for i, v in enumerate(kw.values())
        )

    yield f, (X, X)
    yield f, (X,)
    yield f, (X,), {"a": 1.0, "b": 2.0}
    yield f, (X,), {"b": 2.0, "a": 1.0}
    yield f, (X,), {"a": 2.0, "b": 1.0}


@hazard
def positional_or_keyword():
    def f(x, y):
        return np.sum(x) * y

    yield f, (X, 2.0)
    yield f, (X,), {"y": 3.0}
    yield f, (X,), {"y": 3}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", HAZARDS)
def test_never_stale(name, transform):
    run_hazard(HAZARDS[name], TRANSFORMS[transform])
