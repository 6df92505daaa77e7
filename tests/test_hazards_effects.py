"""Side effects, random numbers and writes: each happens at every call.

Written as users write it, warts included; what a row does is told by its name.
"""

import collections
import contextlib
import functools
import heapq
import io
import itertools
import logging
import random
import sys
import warnings as w

import numpy as np
import pytest
from hazards import TRANSFORMS, run_effect

import tapejit as tj

EFFECTS = {}


def effect(function):
    """Enter a row."""
    assert function.__name__ not in EFFECTS
    EFFECTS[function.__name__] = function
    return function


@effect
def print_():
    buf = io.StringIO()

    def f(x):
        print("called", len(x), file=buf)
        return np.sum(x)

    return f, lambda: buf.getvalue()


@effect
def stdout_write():
    def f(x):
        sys.stdout.write(".")
        return np.sum(x)

    return f, lambda: 0


@effect
def logging_():
    seen = []

    class H(logging.Handler):
        def emit(self, r):
            seen.append(r.getMessage())

    lg = logging.Logger("x")
    lg.addHandler(H())

    def f(x):
        lg.warning("hello %d", len(x))
        return np.sum(x)

    return f, lambda: seen


@effect
def append_list():
    seen = []

    def f(x):
        seen.append(len(x))
        return np.sum(x)

    return f, lambda: seen


@effect
def append_alias():
    seen = []
    box = {"s": seen}

    def f(x):
        s = box["s"]
        s += [1]
        return np.sum(x)

    return f, lambda: seen


@effect
def append_bound():
    seen = []
    push = seen.append

    def f(x):
        push(1)
        return np.sum(x)

    return f, lambda: seen


@effect
def append_via_helper():
    seen = []

    def note(l, v):
        l.append(v)

    def f(x):
        note(seen, 1)
        return np.sum(x)

    return f, lambda: seen


@effect
def append_via_map():
    seen = []

    def f(x):
        list(map(seen.append, [1, 2]))
        return np.sum(x)

    return f, lambda: seen


@effect
def nonlocal_counter():
    n = 0

    def f(x):
        nonlocal n
        n += 1
        return np.sum(x) * n

    return f, lambda: n


@effect
def global_counter():
    ns = {"np": np, "N": 0}
    exec("def f(x):\n  global N\n  N += 1\n  return np.sum(x) * N", ns)
    return ns["f"], lambda: ns["N"]


@effect
def attr_counter():
    class C:
        n = 0

    c = C()

    def f(x):
        c.n += 1
        return np.sum(x) * c.n

    return f, lambda: c.n


@effect
def self_counter():
    class C:
        n = 0

        def m(self, x):
            self.n += 1
            return np.sum(x) * self.n

    c = C()
    return c.m, lambda: c.n


@effect
def function_attr_counter():
    def f(x):
        f.n = getattr(f, "n", 0) + 1
        return np.sum(x) * f.n

    return f, lambda: f.n


@effect
def class_counter():
    class C:
        n = 0

        def __init__(self):
            type(self).n += 1

    def f(x):
        C()
        return np.sum(x) * C.n

    return f, lambda: C.n


@effect
def default_counter():
    def f(x, seen=[]):
        seen.append(1)
        return np.sum(x) * len(seen)

    return f, lambda: f.__defaults__[0]


@effect
def dict_memo():
    memo = {}

    def f(x):
        k = len(x)
        if k not in memo:
            memo[k] = 2.0
        return np.sum(x) * memo[k] * len(memo)

    return f, lambda: memo


@effect
def setdefault_():
    memo = {}

    def f(x):
        return np.sum(x) * memo.setdefault("a", 3.0)

    return f, lambda: memo


@effect
def defaultdict_():
    memo = collections.defaultdict(float)

    def f(x):
        return np.sum(x) + memo["k"] + len(memo)

    return f, lambda: dict(memo)


@effect
def missing_dict():
    class D(dict):
        def __missing__(self, k):
            self[k] = 2.0
            return 5.0

    d = D()

    def f(x):
        return np.sum(x) * d["a"]

    return f, lambda: dict(d)


@effect
def iter_captured():
    it = iter(range(1, 100))

    def f(x):
        return np.sum(x) * next(it)

    return f, lambda: 0


@effect
def count_captured():
    it = itertools.count(1)

    def f(x):
        return np.sum(x) * next(it)

    return f, lambda: 0


@effect
def cycle_captured():
    it = itertools.cycle([1.0, 2.0, 3.0])

    def f(x):
        return np.sum(x) * it.__next__()

    return f, lambda: 0


@effect
def generator_captured():
    def g():
        k = 1.0
        while True:
            yield k
            k += 1

    gen = g()

    def f(x):
        return np.sum(x) * next(gen)

    return f, lambda: 0


@effect
def generator_send():
    def g():
        k = 1.0
        while True:
            d = yield k
            k += d or 1

    gen = g()
    next(gen)

    def f(x):
        return np.sum(x) * gen.send(2.0)

    return f, lambda: 0


@effect
def file_iter():
    fh = io.StringIO("1\n2\n3\n4\n5\n6\n7\n8\n9\n")

    def f(x):
        return np.sum(x) * float(fh.readline())

    return f, lambda: 0


@effect
def np_global_random():
    np.random.seed(0)

    def f(x):
        return np.sum(x) * np.random.rand()

    return f, lambda: 0


@effect
def np_global_random2():
    np.random.seed(0)
    from numpy.random import standard_normal

    def f(x):
        return np.sum(x * standard_normal(3))

    return f, lambda: 0


@effect
def np_generator():
    rng = np.random.default_rng(0)

    def f(x):
        return np.sum(x) * rng.normal()

    return f, lambda: 0


@effect
def np_generator_in_object():
    class M:
        def __init__(s):
            s.rng = np.random.default_rng(0)

        def drop(s, x):
            return x * (s.rng.random(x.shape) > 0.5)

    m = M()

    def f(x):
        return np.sum(m.drop(x))

    return f, lambda: 0


@effect
def np_generator_bound():
    draw = np.random.default_rng(0).random

    def f(x):
        return np.sum(x) * draw()

    return f, lambda: 0


@effect
def np_generator_partial():
    draw = functools.partial(np.random.default_rng(0).normal, 0.0)

    def f(x):
        return np.sum(x) * draw()

    return f, lambda: 0


@effect
def random_module():
    random.seed(0)

    def f(x):
        return np.sum(x) * random.random()

    return f, lambda: 0


@effect
def random_instance():
    r = random.Random(0)

    def f(x):
        return np.sum(x) * r.choice([1.0, 2.0, 3.0])

    return f, lambda: 0


@effect
def random_bound_import():
    random.seed(0)
    from random import gauss

    def f(x):
        return np.sum(x) * gauss(0, 1)

    return f, lambda: 0


@effect
def random_in_default():
    rng = np.random.default_rng(0)

    def f(x, draw=rng.random):
        return np.sum(x) * draw()

    return f, lambda: 0


@effect
def tj_random():
    tj.manual_seed(0)

    def f(x):
        return np.sum(x * tj.rand(3, dtype=tj.float64).numpy())

    return f, lambda: 0


@effect
def tj_dropout():
    tj.manual_seed(0)

    def f(x):
        return np.sum(x * tj.bernoulli(tj.full((3,), 0.5, dtype=tj.float64)).numpy())

    return f, lambda: 0


@effect
def permutation():
    np.random.seed(0)

    def f(x):
        return np.sum(x[np.random.permutation(3)] * np.arange(3))

    return f, lambda: 0


@effect
def write_captured_array():
    out = np.zeros(3)

    def f(x):
        out[:] = np.arange(3) * len(x)
        out[0] += 1
        return np.sum(x) + np.sum(out)

    return f, lambda: out.tolist()


@effect
def write_captured_array_accumulate():
    out = np.zeros(3)

    def f(x):
        out[0] += 1
        return np.sum(x) + np.sum(out)

    return f, lambda: out.tolist()


@effect
def write_with_out():
    out = np.zeros(3)

    def f(x):
        np.add(out, 1.0, out=out)
        return np.sum(x) + np.sum(out)

    return f, lambda: out.tolist()


@effect
def write_with_out_positional():
    out = np.zeros(3)

    def f(x):
        np.add(out, 1.0, out)
        return np.sum(x) + np.sum(out)

    return f, lambda: out.tolist()


@effect
def write_through_view():
    out = np.zeros(3)
    box = [out[1:]]

    def f(x):
        v = box[0]
        v += 1.0
        return np.sum(x) + np.sum(out)

    return f, lambda: out.tolist()


@effect
def write_through_reshape():
    out = np.zeros((2, 2))

    def f(x):
        v = out.reshape(-1)
        v[0] += 1
        np.ravel(out)[1] += 1
        out.T[0, 1] += 2
        return np.sum(x) + np.sum(out)

    return f, lambda: out.tolist()


@effect
def write_ufunc_at():
    out = np.zeros(3)

    def f(x):
        np.add.at(out, [0, 0], 1.0)
        return np.sum(x) + np.sum(out)

    return f, lambda: out.tolist()


@effect
def write_copyto_place():
    out = np.zeros(3)

    def f(x):
        np.copyto(out, out + 1)
        np.put(out, [0], 5.0)
        return np.sum(x) + np.sum(out)

    return f, lambda: out.tolist()


@effect
def write_fill_sort():
    out = np.array([3.0, 1.0, 2.0])

    def f(x):
        s = out[0]
        out.sort()
        return np.sum(x) * s

    return f, lambda: out.tolist()


@effect
def write_last_value():
    out = np.zeros(3)

    def f(x):
        s = out[0]
        out[0] = float(x[0])
        return np.sum(x) + s

    return f, lambda: out.tolist()


@effect
def swap_buffers():
    a = [np.zeros(3), np.ones(3)]

    def f(x):
        a[0], a[1] = a[1], a[0]
        return np.sum(x * a[0])

    return f, lambda: [v.tolist() for v in a]


@effect
def shuffle_list():
    l = [1.0, 2.0, 3.0]
    random.seed(0)

    def f(x):
        random.shuffle(l)
        return np.sum(x) * l[0]

    return f, lambda: l


@effect
def heap_():
    h = [1.0, 5.0, 9.0, 11.0, 20.0, 30.0, 50.0]

    def f(x):
        return np.sum(x) * heapq.heappop(h)

    return f, lambda: h


@effect
def deque_rotate():
    d = collections.deque([1.0, 2.0, 3.0])

    def f(x):
        d.rotate(1)
        return np.sum(x) * d[0]

    return f, lambda: list(d)


@effect
def list_sort_reverse():
    l = [1.0, 3.0, 2.0]

    def f(x):
        l.reverse()
        return np.sum(x) * l[0]

    return f, lambda: l


@effect
def del_item():
    l = [1.0, 3.0, 2.0, 4.0, 5.0, 6.0, 7.0]

    def f(x):
        del l[0]
        return np.sum(x) * l[0]

    return f, lambda: l


@effect
def set_add():
    s = set()

    def f(x):
        s.add(len(s))
        return np.sum(x) * len(s)

    return f, lambda: s


@effect
def setattr_():
    class C:
        k = 1.0

    c = C()

    def f(x):
        setattr(c, "k", c.k + 1)
        return np.sum(x) * c.k

    return f, lambda: c.k


@effect
def dunder_dict():
    class C:
        pass

    c = C()
    c.k = 1.0

    def f(x):
        c.__dict__["k"] += 1
        return np.sum(x) * c.k

    return f, lambda: c.k


@effect
def dict_update():
    d = {"k": 1.0}

    def f(x):
        d.update(k=d["k"] + 1)
        return np.sum(x) * d["k"]

    return f, lambda: d


@effect
def dict_ior():
    d = {"k": 1.0}

    def f(x):
        nonlocal d
        d |= {"k": d["k"] + 1}
        return np.sum(x) * d["k"]

    return f, lambda: d


@effect
def property_with_effect():
    class C:
        n = 0

        @property
        def k(self):
            self.n += 1
            return float(self.n)

    c = C()

    def f(x):
        return np.sum(x) * c.k

    return f, lambda: c.n


@effect
def getitem_effect():
    class C:
        n = 0

        def __getitem__(self, i):
            self.n += 1
            return float(self.n)

    c = C()

    def f(x):
        return np.sum(x) * c[0]

    return f, lambda: c.n


@effect
def operator_effect():
    class C:
        n = 0

        def __mul__(self, o):
            self.n += 1
            return o * float(self.n)

        __rmul__ = __mul__

    c = C()

    def f(x):
        return c * np.sum(x)

    return f, lambda: c.n


@effect
def contextmanager_effect():
    n = [0]

    @contextlib.contextmanager
    def cm():
        n[0] += 1
        yield float(n[0])

    def f(x):
        with cm() as k:
            return np.sum(x) * k

    return f, lambda: n


@effect
def descriptor_effect():
    class D:
        n = 0

        def __get__(s, o, t):
            s.n += 1
            return float(s.n)

    class C:
        k = D()

    c = C()

    def f(x):
        return np.sum(x) * c.k

    return f, lambda: C.__dict__["k"].n


@effect
def bool_effect():
    class C:
        n = 0

        def __bool__(s):
            s.n += 1
            return s.n % 2 == 0

    c = C()

    def f(x):
        return np.sum(x) * 2 if c else np.sum(x)

    return f, lambda: c.n


@effect
def len_effect():
    class C:
        n = 0

        def __len__(s):
            s.n += 1
            return s.n

    c = C()

    def f(x):
        return np.sum(x) * len(c)

    return f, lambda: c.n


@effect
def iter_effect():
    class C:
        n = 0

        def __iter__(s):
            s.n += 1
            return iter([float(s.n)])

    c = C()

    def f(x):
        return np.sum(x) * sum(c)

    return f, lambda: c.n


@effect
def float_effect():
    class C:
        n = 0

        def __float__(s):
            s.n += 1
            return float(s.n)

    c = C()

    def f(x):
        return np.sum(x) * float(c)

    return f, lambda: c.n


@effect
def array_effect():
    class C:
        n = 0

        def __array__(s, dtype=None, copy=None):
            s.n += 1
            return np.full(3, float(s.n))

    c = C()

    def f(x):
        return np.sum(x) * np.sum(np.asarray(c))

    return f, lambda: c.n


@effect
def eq_effect():
    class C:
        n = 0

        def __eq__(s, o):
            s.n += 1
            return s.n % 2 == 0

        __hash__ = None

    c = C()

    def f(x):
        return np.sum(x) * (2 if c == 1 else 3)

    return f, lambda: c.n


@effect
def getattr_effect():
    class C:
        def __getattr__(s, n):
            s.__dict__["n"] = s.__dict__.get("n", 0) + 1
            return float(s.__dict__["n"])

    c = C()

    def f(x):
        return np.sum(x) * c.foo

    return f, lambda: c.__dict__.get("n")


@effect
def call_effect():
    class C:
        n = 0

        def __call__(s):
            s.n += 1
            return float(s.n)

    c = C()

    def f(x):
        return np.sum(x) * c()

    return f, lambda: c.n


@effect
def key_effect():
    n = []

    def key(v):
        n.append(v)
        return -v

    def f(x):
        return np.sum(x) * sorted([1.0, 2.0, 3.0], key=key)[0] * len(n)

    return f, lambda: n


@effect
def comp_effect():
    n = []

    def f(x):
        return np.sum(x) * sum([n.append(i) or 1.0 for i in range(2)]) * len(n)

    return f, lambda: n


@effect
def finally_effect():
    n = []

    def f(x):
        try:
            return np.sum(x)
        finally:
            n.append(1)

    return f, lambda: n


@effect
def except_effect():
    n = []

    def f(x):
        try:
            raise KeyError
        except KeyError:
            n.append(1)
        return np.sum(x) * len(n)

    return f, lambda: n


@effect
def class_body_effect():
    n = []

    def f(x):
        class C:
            n.append(1)

        return np.sum(x) * len(n)

    return f, lambda: n


@effect
def nested_nonlocal():
    n = 0

    def f(x):
        def g():
            nonlocal n
            n += 1

        g()
        return np.sum(x) * n

    return f, lambda: n


@effect
def walrus_global():
    ns = {"np": np, "N": 0}
    exec("def f(x):\n  global N\n  return np.sum(x) * (N := N + 1)", ns)
    return ns["f"], lambda: ns["N"]


@effect
def for_target_global():
    ns = {"np": np, "N": 0}
    exec("def f(x):\n  global N\n  for N in range(N, N + 2): pass\n  return np.sum(x) * N", ns)
    return ns["f"], lambda: ns["N"]


@effect
def import_as_global():
    ns = {"np": np}
    exec("def f(x):\n  global math\n  import math\n  return np.sum(x) * math.pi", ns)
    return ns["f"], lambda: "math" in ns


@effect
def raise_sometimes():
    n = []

    def f(x):
        if np.sum(x) < 0:
            n.append(1)
            raise ValueError("no")
        return np.sum(x)

    return f, lambda: n


@effect
def counter_then_raise():
    class C:
        n = 0

    c = C()

    def f(x):
        c.n += 1
        if c.n % 2:
            raise ValueError(str(c.n))
        return np.sum(x) * c.n

    return f, lambda: c.n


@effect
def warn_():
    def f(x):
        w.warn("hey")
        return np.sum(x)

    return f, lambda: 0


@effect
def tensor_write():
    t = tj.zeros(3, dtype=tj.float64)

    def f(x):
        t.add_(1.0)
        return np.sum(x) * float(t[0])

    return f, lambda: t.tolist()


@effect
def tensor_iadd():
    t = tj.zeros(3, dtype=tj.float64)
    box = {"t": t}

    def f(x):
        u = box["t"]
        u += 1.0
        return np.sum(x) * float(t[0])

    return f, lambda: t.tolist()


@effect
def tensor_setitem():
    t = tj.zeros(3, dtype=tj.float64)

    def f(x):
        t[0] = t[0] + 1
        return np.sum(x) * float(t[0])

    return f, lambda: t.tolist()


@effect
def tensor_numpy_write():
    t = tj.zeros(3, dtype=tj.float64)

    def f(x):
        t.numpy()[0] += 1
        return np.sum(x) * float(t[0])

    return f, lambda: t.tolist()


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", EFFECTS)
def test_every_effect_happens(name, transform):
    run_effect(EFFECTS[name], TRANSFORMS[transform])
