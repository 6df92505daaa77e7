"""Hazards of data: branches, sizes and Python values that depend on it, captured arrays.

Written as users write it, warts included; what a row does is told by its name.
"""

import array
import contextlib
import enum
import functools
import math
import os
import tempfile

import numpy as np
import pytest
from hazards import TRANSFORMS, X, Y, Z, run_hazard

import tapejit as tj

HAZARDS = {}


def hazard(function):
    """Enter a row."""
    assert function.__name__ not in HAZARDS
    HAZARDS[function.__name__] = function
    return function


def over(
    f, arguments=(X, Y, Z, -X, X, X[:2], np.array([np.nan, 1.0, 0.0]), X[:0], X.astype("f4"), Y)
):
    for a in arguments:
        yield f, a


SC = (
    1.0,
    2.0,
    -1.0,
    0.0,
    -0.0,
    float("nan"),
    1.0,
    3.7,
    -3.7,
    float("inf"),
    1e300,
    np.float64(2.0),
    np.float32(2.5),
    np.array(2.0),
)


@hazard
def branch_any():
    yield from over(lambda x: np.sum(x) * (2.0 if (x > 0).any() else 3.0))


@hazard
def branch_np_any_all():
    def f(x):
        if np.any(x > 2):
            return np.sum(x) * 2
        if np.all(x == 0):
            return np.sum(x) + 1
        return np.sum(x)

    yield from over(f)


@hazard
def while_data():
    def f(x):
        n = 0
        while np.sum(x * x) > 1.0 and n < 50:
            x = x * 0.5
            n += 1
        return np.sum(x) * n

    yield from over(f)


@hazard
def where_places():
    def f(x):
        i = np.where(x > 0)[0]
        return np.sum(x[i]) * len(i)

    yield from over(f)


@hazard
def nonzero_places():
    def f(x):
        (i,) = np.nonzero(x)
        return np.sum(x[i] * 2)

    yield from over(f)


@hazard
def mask_index():
    def f(x):
        return np.sum(x[x > 0] ** 2)

    yield from over(f)


@hazard
def argmax_index():
    def f(x):
        return x[np.argmax(x)] * 2

    yield from over(f, [X, Y, Z, -X, np.array([1.0, 9, 2, 3])])


@hazard
def argmax_python():
    def f(x):
        i = int(np.argmax(x))
        return x[i] * i

    yield from over(f, [X, Y, Z, -X, np.array([1.0, 9, 2, 3])])


@hazard
def argsort_index():
    def f(x):
        return np.sum(x[np.argsort(x)] * np.arange(x.shape[0]))

    yield from over(f, [X, Y, Z, -X])


@hazard
def sort_():
    yield from over(lambda x: np.sum(np.sort(x) * np.arange(len(x))), [X, Y, Z, -X])


@hazard
def item_():
    yield from over(
        lambda x: x * x.item() if hasattr(x, "item") else x,
        [
            np.array(1.0),
            np.array(2.0),
            np.array(1.0),
            np.array(-0.0),
            np.array(0.0),
            np.array(np.nan),
        ],
    )


@hazard
def int_():
    yield from over(lambda x: x * int(x), [1.0, 2.5, 2.7, -1.0, 0.0, 2.5])


@hazard
def float_():
    yield from over(lambda x: x * float(x), SC)


@hazard
def bool_():
    yield from over(lambda x: x * 2 if x else x + 1, SC)


@hazard
def math_fns():
    def f(x):
        return x * math.sin(x) + math.floor(x)

    yield from over(f, [1.0, 2.0, 2.5, -1.0])

    def g(x):
        return math.sqrt(abs(x)) * x

    yield from over(g, [1.0, 2.0, 2.5, -1.0])


@hazard
def math_in_branch():
    def f(x):
        return x * 2 if math.isnan(x) or math.isinf(x) else x * 3

    yield from over(f, SC)


@hazard
def np_isnan_branch():
    def f(x):
        return x * 2 if np.isnan(x) else x * 3

    yield from over(f, SC)


@hazard
def round_():
    yield from over(lambda x: x * round(x), [1.0, 1.6, 2.4, -1.2])


@hazard
def tolist_():
    def f(x):
        return sum(v * w for v, w in zip(x, x.tolist()))

    yield from over(f, [X, Y, Z, -X])


@hazard
def fstring():
    def f(x):
        return np.sum(x) * len(f"{np.sum(x):.3f}")

    yield from over(f, [X, Y * 1000, Z, -X])

    def g(x):
        return np.sum(x) * len(str(x))

    yield from over(g, [X, Y * 100.5, Z, -X])

    def h(x):
        return np.sum(x) * len("%s" % np.sum(x))

    yield from over(h, [X, Y * 100.5, Z, -X])

    def i(x):
        return np.sum(x) * len(repr(x.sum()))

    yield from over(i, [X, Y * 100.5, Z, -X])

    def j(x):
        return np.sum(x) * len("{:.1f}".format(np.sum(x)))

    yield from over(j, [X, Y * 100.5, Z, -X])


@hazard
def in_list():
    def f(x):
        return x * 2 if x in [1.0, 2.0] else x

    yield from over(f, [1.0, 3.0, 2.0, 1.0])

    def g(x):
        return x * 2 if x in (1.0, 2.0) else x

    yield from over(g, [1.0, 3.0, 2.0, 1.0])

    def h(x):
        return x * 2 if 1.0 in np.array([1.0, 2.0]) * x else x

    yield from over(h, [1.0, 3.0, 2.0, 1.0])


@hazard
def contains_arr():
    def f(x):
        return np.sum(x) * 2 if 1.0 in x else np.sum(x)

    yield from over(f, [X, Y, X, Z])


@hazard
def builtin_max():
    def f(x):
        return max(x) * 2 + min(x)

    yield from over(f, [X, Y, Z, -X])

    def g(x):
        return max(x, key=lambda v: -v) * 2

    yield from over(g, [X, Y, Z, -X])

    def h(x):
        return sum(sorted(x)[:2])

    yield from over(h, [X, Y, Z, -X])

    def i(x):
        return abs(x[0]) + pow(x[1], 2) + divmod(x[2], 2.0)[0]

    yield from over(i, [X, Y, Z, -X])

    def j(x):
        return sum(v for v in x if v > 0)

    yield from over(j, [X, Y, Y])

    def k(x):
        return functools.reduce(lambda a, b: a if a > b else b, x) * 3

    yield from over(k, [X, Y, Z, -X])

    def l(x):
        return sum(map(lambda p: p[0] * p[1], zip(x, x[::-1])))

    yield from over(l, [X, Y, Z, -X])

    def m(x):
        return list(filter(lambda v: v > 0, x))[0] * 2.0

    yield from over(m, [X, Y, -X])

    def n(x):
        return next(v for v in x if v > 0) * 2

    yield from over(n, [X, Y, -X])

    def o(x):
        return any(v > 4 for v in x) * np.sum(x) + all(v > -3 for v in x)

    yield from over(o, [X, Y, -X])


@hazard
def asarray_inside():
    def f(x):
        return np.sum(x) * float(np.asarray(x).max())

    yield from over(f, [X, Y, Z, -X])

    def g(x):
        return np.sum(np.asarray(x) * 2.0)

    yield from over(g, [X, Y, Z, -X])

    def h(x):
        return np.sum(np.array(x) * 2.0)

    yield from over(h, [X, Y, Z, -X])

    def i(x):
        return np.sum(np.array([x[0], x[1]]) * 2.0)

    yield from over(i, [X, Y, Z, -X])

    def j(x):
        return np.sum(np.array([1.0, x[0] * 1.0]) * x[:2])

    yield from over(j, [X, Y, Z, -X])

    def k(x):
        return np.sum(np.stack([x, x * 2])[1])

    yield from over(k, [X, Y, Z, -X])


@hazard
def shapes_():
    def f(x):
        s = np.sum(x)
        if x.ndim == 2:
            s = s * 2
        if len(x) > 2:
            s = s * 3
        return s * x.shape[0] + x.size

    yield from over(f, [X, X[:2], X[None], X[:, None], X[:1], X[:0]])


@hazard
def dtype_branch():
    def f(x):
        return np.sum(x) * (2 if x.dtype == np.float32 else 3)

    yield from over(f, [X, X.astype("f4"), X.astype(int), X > 0, X.astype("f2"), X.astype(">f8")])


@hazard
def isinstance_branch():
    def f(x):
        return np.sum(x) * (2 if isinstance(x, float) else 3 if isinstance(x, np.ndarray) else 4)

    yield from over(f, [1.0, X, np.float64(1), np.float32(1)])


@hazard
def iteration():
    def f(x):
        t = 0.0
        for i, v in enumerate(x):
            if v > 0:
                t = t + v * i
            else:
                t = t - v
        return t

    yield from over(f, [X, Y, Z, -X, X[:2], np.ones(5)])


@hazard
def exceptions():
    def f(x):
        if np.sum(x) < 0:
            raise ValueError("negative")
        return np.sum(x) * 2

    yield from over(f, [X, -X, X, Y, -X])

    def g(x):
        try:
            if np.sum(x) < 0:
                raise ValueError
            return np.sum(x)
        except ValueError:
            return np.sum(x) * 10
        finally:
            pass

    yield from over(g, [X, -X, X, Y, -X])

    def h(x):
        assert np.sum(x) > 0, "neg"
        return np.sum(x)

    yield from over(h, [X, -X, X, Y, -X])

    def i(x):
        try:
            return x[3] * 2
        except IndexError:
            return np.sum(x)

    yield from over(i, [X, np.ones(4), X])
    d = {1: 2.0}

    def j(x):
        try:
            return np.sum(x) * d[int(x[0])]
        except KeyError:
            return np.sum(x)

    yield from over(j, [X, Y, X])
    d[4] = 9.0
    yield from over(j, [X, Y, X])


@hazard
def match_():
    ns = {}
    exec(
        """
def f(x, c):
    match c:
        case {"k": k}: return k * x.sum()
        case [a, b]: return (a + b) * x.sum()
        case int(): return c * x.sum()
        case None: return x.sum()
        case str() as s: return x.sum() * len(s)
def g(x):
    match x.shape:
        case (3,): return x.sum()
        case (n,): return x.sum() * n
        case (n, m): return x.sum() * n * m
def h(x):
    match float(x[0]):
        case 1.0: return x.sum()
        case v if v > 3: return x.sum() * v
        case _: return x.sum() * 5
""",
        ns,
    )
    f = ns["f"]
    for c in ({"k": 2.0}, {"k": 3.0}, [1.0, 2.0], [1.0, 3.0], 3, 4, None, "abc", "ab", True):
        yield f, (X, c)
    yield from over(ns["g"], [X, X[:2], X[None]])
    yield from over(ns["h"], [X, Y, Z, X, -X])


@hazard
def walrus():
    def f(x):
        return s * 2 if (s := np.sum(x)) > 0 else -s

    yield from over(f, [X, -X, Y, X])


@hazard
def with_():
    class C:
        k = 2.0

        def __enter__(s):
            return s.k

        def __exit__(s, *a):
            return False

    c = C()

    def f(x):
        with c as k:
            return np.sum(x) * k

    yield f, X
    C.k = 3.0
    yield f, X
    c.k = 4.0
    yield f, X

    @contextlib.contextmanager
    def cm():
        yield z

    z = 1.0

    def g(x):
        with cm() as k:
            return np.sum(x) * k

    yield g, X
    z = 5.0
    yield g, X


@hazard
def recursion():
    k = 2.0

    def r(x, n):
        return x if n == 0 else r(x * k, n - 1)

    def f(x, n=3):
        return np.sum(r(x, n))

    yield f, X
    k = 3.0
    yield f, X
    yield f, (X, 4)

    def even(x, n):
        return x * k if n == 0 else odd(x, n - 1)

    def odd(x, n):
        return x + k if n == 0 else even(x, n - 1)

    def g(x):
        return np.sum(even(x, m))

    m = 3
    yield g, X
    m = 2
    yield g, X
    k = 9.0
    yield g, X

    def dd(x):
        return x if np.sum(x * x) < 1 else dd(x * 0.5)

    def h(x):
        return np.sum(dd(x))

    yield from over(h, [X, Y, Z, X * 100])


@hazard
def enums():
    class E(enum.Enum):
        A = 1.0
        B = 2.0

    class I(enum.IntEnum):
        A = 1
        B = 2

    class Fl(enum.Flag):
        A = 1
        B = 2

    e = E.A
    i = I.A
    fl = Fl.A

    def f(x):
        return np.sum(x) * e.value * (2 if e is E.A else 3) * i * (5 if Fl.B in fl else 1)

    yield f, X
    e = E.B
    yield f, X
    i = I.B
    yield f, X
    i = 2
    yield f, X
    fl = Fl.A | Fl.B
    yield f, X

    def g(x, e):
        return np.sum(x) * (2 if e is E.A else 3) * (e if isinstance(e, int) else 1)

    for a in (E.A, E.B, I.A, 1, I.B, 2):
        yield g, (X, a)


@hazard
def captured_index_array():
    idx = np.array([0, 2])

    def f(x):
        return np.sum(x[idx] * 2)

    yield f, X
    idx[0] = 1
    yield f, X
    idx = np.array([2, 2, 0])
    yield f, X
    mask = np.array([True, False, True])

    def g(x):
        return np.sum(x[mask] * 2)

    yield g, X
    mask[1] = True
    yield g, X
    mask[:] = False
    yield g, X
    sl = slice(0, 2)

    def h(x):
        return np.sum(x[sl])

    yield h, X
    sl = slice(1, 3)
    yield h, X
    sl = slice(None, None, -1)
    yield h, X


@hazard
def captured_array_read_by_python():
    w = np.array([2.0, 3.0, 4.0])

    def f(x):
        return np.sum(x ** int(w[0])) + sum(w.tolist()) * np.sum(x * w)

    yield f, X
    w[0] = 3.0
    yield f, X
    w[2] = 3.0
    yield f, X

    def g(x):
        if w.max() > 5:
            return np.sum(x)
        return np.sum(x * w)

    yield g, X
    w[0] = 9
    yield g, X
    w.fill(1.0)
    yield g, X
    w.sort()
    yield g, X
    w.resize(3)
    yield g, X
    w.shape = (3, 1)
    yield g, X
    w.dtype = np.int64
    yield g, X


@hazard
def captured_views():
    base = np.arange(6.0)
    v = base[::2]

    def f(x):
        return np.sum(x * v) + np.sum(v * 2)

    yield f, X
    base[0] = 5
    yield f, X
    v[1] = 7
    yield f, X
    v = base[1::2]
    yield f, X
    base[1] = 100
    yield f, X
    ro = base[:3]
    ro.flags.writeable = False

    def g(x):
        return np.sum(x * ro)

    yield g, X
    base[1] = 50
    yield g, X
    owner = np.arange(3.0)
    owner.flags.writeable = False

    def h(x):
        return np.sum(x * owner)

    yield h, X
    owner.flags.writeable = True
    owner[0] = 9
    owner.flags.writeable = False
    yield h, X
    bc = np.broadcast_to(base[:1], 3)

    def i(x):
        return np.sum(x * bc)

    yield i, X
    base[0] = 77
    yield i, X


@hazard
def array_from_buffer():
    buf = bytearray(24)
    a = np.frombuffer(buf, dtype="f8")

    def f(x):
        return np.sum(x * a)

    yield f, X
    buf[0:8] = np.float64(5.0).tobytes()
    yield f, X
    path = os.path.join(tempfile.mkdtemp(), "numbers.bin")
    mm = np.memmap(path, dtype="f8", mode="w+", shape=(3,))

    def g(x):
        return np.sum(x * mm)

    yield g, X
    mm[0] = 4
    yield g, X
    mr = np.memmap(path, dtype="f8", mode="r", shape=(3,))

    def h(x):
        return np.sum(x * mr)

    yield h, X
    mm[0] = 40
    mm.flush()
    yield h, X
    pa = array.array("d", [1.0, 2.0, 3.0])

    def i(x):
        return np.sum(x * pa[0])

    yield i, X
    pa[0] = 9.0
    yield i, X

    def j(x):
        return np.sum(x * np.frombuffer(pa))

    yield j, X
    pa[0] = 19.0
    yield j, X


@hazard
def structured_and_object_arrays():
    r = np.zeros(3, [("a", "f8"), ("b", "f8")])

    def f(x):
        return np.sum(x * r["a"])

    yield f, X
    r["a"][0] = 3
    yield f, X
    o = np.array([1.0, [2.0]], dtype=object)

    def g(x):
        return np.sum(x * o[0]) + o[1][0]

    yield g, X
    o[1][0] = 7.0
    yield g, X
    o[0] = 7.0
    yield g, X


@hazard
def grad_inside_results():
    g1 = tj.grad(lambda t: np.sum(t**2) * k)
    k = 1.0

    def f(x):
        return np.sum(g1(x) * x)

    yield f, X
    k = 2.0
    yield f, X
    yield f, Y

    def h(x):
        return np.sum(tj.jit(lambda t: t * k)(x))

    yield h, X
    k = 3.0
    yield h, X

    def i(x):
        return np.sum(tj.hessian(lambda t: np.sum(t**3) * k)(x))

    yield i, X
    k = 4.0
    yield i, X


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", HAZARDS)
def test_never_stale(name, transform):
    run_hazard(HAZARDS[name], TRANSFORMS[transform])
