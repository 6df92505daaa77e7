"""Objects that change between calls: classes, iterators, modules, the standard library.

Written as users write it, warts included; what a row does is told by its name.
"""

import abc
import array
import builtins
import collections
import contextvars
import ctypes
import decimal
import functools
import itertools
import math
import operator
import string
import threading
import time
import types
import weakref

import numpy as np
import pytest
from hazards import TRANSFORMS, X, run_effect

EFFECTS = {}


def effect(function):
    """Enter a row."""
    assert function.__name__ not in EFFECTS
    EFFECTS[function.__name__] = function
    return function


@effect
def weakref_():
    class C:
        k = 2.0

    c = C()
    r = weakref.ref(c)

    def f(x):
        return np.sum(x) * r().k

    n = [0]

    def obs():
        C.k += 1
        return 0

    return f, obs


@effect
def threads_local():
    loc = threading.local()
    loc.k = 1.0

    def f(x):
        return np.sum(x) * loc.k

    def obs():
        loc.k += 1
        return 0

    return f, obs


@effect
def contextvar():
    cv = contextvars.ContextVar("cv", default=1.0)

    def f(x):
        return np.sum(x) * cv.get()

    def obs():
        cv.set(cv.get() + 1)
        return 0

    return f, obs


@effect
def cached_property_():
    class C:
        k = 1.0

        @functools.cached_property
        def v(s):
            return s.k * 10

    c = C()

    def f(x):
        return np.sum(x) * c.v

    n = [0]

    def obs():
        n[0] += 1
        c.k += 1
        if n[0] % 2 == 0:
            del c.__dict__["v"]
        return 0

    return f, obs


@effect
def local_iter_of_captured():
    l = [1.0, 2.0]

    def f(x):
        it = iter(l)
        next(it)
        return np.sum(x) * next(it)

    def obs():
        l[1] += 1
        return 0

    return f, obs


@effect
def obj_in_list_attr():
    class C:
        k = 1.0

    cs = [C(), C()]

    def f(x):
        return sum(np.sum(x) * c.k for c in cs)

    def obs():
        cs[1].k += 1
        return 0

    return f, obs


@effect
def nested_obj():
    class C:
        pass

    a = C()
    a.b = C()
    a.b.c = [C()]
    a.b.c[0].w = np.ones(3)

    def f(x):
        return np.sum(x * a.b.c[0].w)

    def obs():
        a.b.c[0].w[0] += 1
        return 0

    return f, obs


@effect
def mro_change():
    class A:
        k = 1.0

    class B:
        k = 2.0

    class C(A):
        pass

    c = C()

    def f(x):
        return np.sum(x) * c.k

    n = [0]

    def obs():
        n[0] += 1
        C.__bases__ = (B,) if n[0] % 2 else (A,)
        return 0

    return f, obs


@effect
def class_swap():
    class A:
        def m(s, x):
            return x * 1.0

    class B:
        def m(s, x):
            return x * 2.0

    c = A()

    def f(x):
        return np.sum(c.m(x))

    n = [0]

    def obs():
        n[0] += 1
        c.__class__ = B if n[0] % 2 else A
        return 0

    return f, obs


@effect
def builtins_patched():
    ns = {"np": np, "__builtins__": dict(vars(builtins))}
    exec("def f(x): return np.sum(x) * abs(-2.0)", ns)

    def obs():
        ns["__builtins__"]["abs"] = (lambda v: 7.0) if ns["__builtins__"]["abs"] is abs else abs
        return 0

    return ns["f"], obs


@effect
def shadow_builtin():
    ns = {"np": np}
    exec("def f(x): return np.sum(x) * max(1.0, 2.0)", ns)

    def obs():
        if "max" in ns:
            del ns["max"]
        else:
            ns["max"] = min
        return 0

    return ns["f"], obs


@effect
def math_patched():
    class M:
        pass

    m = types.ModuleType("mymath")
    m.s = math.sin

    def f(x):
        return np.sum(x) * m.s(1.0)

    def obs():
        m.s = math.cos if m.s is math.sin else math.sin
        return 0

    return f, obs


@effect
def module_getattr():
    m = types.ModuleType("dyn")
    box = [1.0]
    m.__getattr__ = lambda n: box[0]

    def f(x):
        return np.sum(x) * m.anything

    def obs():
        box[0] += 1
        return 0

    return f, obs


@effect
def slots_inherit():
    class A:
        __slots__ = ("a",)

    class B(A):
        __slots__ = ("b", "__dict__")

    o = B()
    o.a = 1.0
    o.b = 2.0
    o.c = 3.0

    def f(x):
        return np.sum(x) * o.a * o.b * o.c

    n = [0]

    def obs():
        n[0] += 1
        setattr(o, "abc"[n[0] % 3], n[0] + 1.0)
        return 0

    return f, obs


@effect
def namedtuple_nested():
    P = collections.namedtuple("P", "w k")
    p = P([1.0], {"a": np.ones(3)})

    def f(x):
        return np.sum(x * p.k["a"]) * p.w[0]

    n = [0]

    def obs():
        n[0] += 1
        (p.w.__setitem__(0, n[0] + 1.0) if n[0] % 2 else p.k["a"].__setitem__(0, n[0]))
        return 0

    return f, obs


@effect
def userlist():
    u = collections.UserList([1.0, 2.0])
    d = collections.UserDict(a=1.0)
    cm = collections.ChainMap({}, {"a": 5.0})

    def f(x):
        return np.sum(x) * u[1] * d["a"] * cm["a"]

    n = [0]

    def obs():
        n[0] += 1
        if n[0] % 3 == 0:
            u[1] += 1
        elif n[0] % 3 == 1:
            d["a"] += 1
        else:
            cm["a"] = n[0]
        return 0

    return f, obs


@effect
def frozen_decimal_fraction():
    d = decimal.Decimal("1.5")

    def f(x):
        return np.sum(x) * float(d)

    def obs():
        nonlocal d
        d += 1
        return 0

    return f, obs


@effect
def decimal_context():
    def f(x):
        return np.sum(x) * float(decimal.Decimal(1) / decimal.Decimal(3))

    def obs():
        decimal.getcontext().prec = 33 - decimal.getcontext().prec + 0 or 3
        return 0

    decimal.getcontext().prec = 28
    return f, obs


@effect
def errstate_():
    def f(x):
        with np.errstate(all="ignore"):
            return np.sum(x) * np.log(np.array([2.0]))[0]

    return f, lambda: 0


@effect
def async_inner():
    k = [1.0]

    async def g(x):
        return x * k[0]

    def f(x):
        co = g(x)
        try:
            co.send(None)
        except StopIteration as e:
            return np.sum(e.value)

    def obs():
        k[0] += 1
        return 0

    return f, obs


@effect
def gen_inner():
    k = [1.0, 2.0]

    def g(x):
        for v in k:
            yield x * v

    def f(x):
        return np.sum(sum(g(x)))

    def obs():
        k[0] += 1
        return 0

    return f, obs


@effect
def yield_from():
    k = [1.0, 2.0]

    def h():
        yield from k

    def g():
        r = yield from h()
        return r

    def f(x):
        return np.sum(x) * sum(g())

    def obs():
        k[1] += 1
        return 0

    return f, obs


@effect
def lambda_default_capture():
    fs = [lambda x, i=i: x * i for i in range(1, 3)]

    def f(x):
        return sum(np.sum(g(x)) for g in fs)

    n = [0]

    def obs():
        n[0] += 1
        fs[0].__defaults__ = (n[0] + 1.0,)
        return 0

    return f, obs


@effect
def closure_of_helper_in_list():
    def make(k):
        def h(x):
            return x * k

        def setk(v):
            nonlocal k
            k = v

        return h, setk

    h, setk = make(1.0)
    layers = [h, np.tanh]

    def f(x):
        for l in layers:
            x = l(x)
        return np.sum(x)

    n = [0]

    def obs():
        n[0] += 1
        setk(n[0] + 1.0)
        return 0

    return f, obs


@effect
def staticmethod_classmethod():
    class C:
        k = 1.0

        @staticmethod
        def s(x):
            return x * 2.0

        @classmethod
        def c(cls, x):
            return x * cls.k

    class D(C):
        pass

    def f(x):
        return np.sum(D.s(x)) + np.sum(D.c(x)) + np.sum(D().c(x))

    n = [0]

    def obs():
        n[0] += 1
        if n[0] % 3 == 0:
            C.k += 1
        elif n[0] % 3 == 1:
            D.k = n[0] + 2.0
        else:
            C.s = staticmethod(lambda x, v=n[0]: x * v)
        return 0

    return f, obs


@effect
def super_chain():
    class A:
        k = 1.0

        def m(s, x):
            return x * s.k

    class B(A):
        def m(s, x):
            return super().m(x) * 2.0

    b = B()

    def f(x):
        return np.sum(b.m(x))

    n = [0]

    def obs():
        n[0] += 1
        if n[0] % 2:
            A.m = lambda s, x, v=n[0]: x * v
        else:
            A.k += 1
        return 0

    return f, obs


@effect
def abc_init_subclass():
    class Reg:
        items = []

        def __init_subclass__(cls, **k):
            Reg.items.append(len(Reg.items) + 1.0)

    def f(x):
        return np.sum(x) * sum(Reg.items)

    def obs():
        class Z(Reg):
            pass

        return 0

    return f, obs


@effect
def time_():
    t = [1.0]
    clock = time.perf_counter

    def f(x):
        return np.sum(x) * (1.0 if clock() > 0 else 2.0)

    return f, lambda: 0


@effect
def getattr_dynamic():
    class C:
        a = 1.0
        b = 2.0

    c = C()
    name = "a"

    def f(x):
        return np.sum(x) * getattr(c, name)

    def obs():
        nonlocal name
        name = "b" if name == "a" else "a"
        C.b += 1
        return 0

    return f, obs


@effect
def attrgetter_():
    class C:
        a = 1.0

    c = C()
    g = operator.attrgetter("a")
    ig = operator.itemgetter(0)
    l = [1.0]

    def f(x):
        return np.sum(x) * g(c) * ig(l)

    n = [0]

    def obs():
        n[0] += 1
        if n[0] % 2:
            c.a = n[0] + 1.0
        else:
            l[0] += 1
        return 0

    return f, obs


@effect
def methodcaller_():
    class C:
        a = 1.0

        def m(s):
            return s.a

    c = C()
    g = operator.methodcaller("m")

    def f(x):
        return np.sum(x) * g(c)

    def obs():
        c.a += 1
        return 0

    return f, obs


@effect
def format_spec():
    k = [1.0]

    def f(x):
        return np.sum(x) * float(f"{k[0]:.3f}") * float("{0[0]}".format(k)) * float("%s" % k[0])

    def obs():
        k[0] += 1
        return 0

    return f, obs


@effect
def str_template():
    t = string.Template("$a")
    d = {"a": "1.0"}

    def f(x):
        return np.sum(x) * float(t.substitute(d))

    def obs():
        d["a"] = str(float(d["a"]) + 1)
        return 0

    return f, obs


@effect
def vectorize_():
    k = [1.0]
    v = np.vectorize(lambda a: a * k[0])

    def f(x):
        return np.sum(x) * np.sum(v(np.ones(2)))

    def obs():
        k[0] += 1
        return 0

    return f, obs


@effect
def frompyfunc_():
    k = [1.0]
    v = np.frompyfunc(lambda a: a * k[0], 1, 1)

    def f(x):
        return np.sum(x) * float(np.sum(v(np.ones(2))))

    def obs():
        k[0] += 1
        return 0

    return f, obs


@effect
def poly_obj():
    p = np.polynomial.Polynomial([1.0, 2.0])
    p1 = np.poly1d([1.0, 2.0])

    def f(x):
        return np.sum(x) * p(1.0) * p1(2.0)

    n = [0]

    def obs():
        n[0] += 1
        p.coef[0] += 1
        p1.coeffs[0] += 1
        return 0

    return f, obs


@effect
def np_matrix_masked():
    m = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])

    def f(x):
        return np.sum(x) * float(m.sum())

    def obs():
        m[0] = m[0] + 1
        m.mask[1] = not m.mask[1]
        return 0

    return f, obs


@effect
def scipy_interp():
    try:
        from scipy.interpolate import interp1d
    except ImportError:
        return (lambda x: np.sum(x)), lambda: 0
    i = interp1d([0.0, 1.0], [1.0, 2.0])

    def f(x):
        return np.sum(x) * float(i(0.5))

    def obs():
        i.y[0] += 1
        return 0

    return f, obs


@effect
def numba_jitted():
    import numba

    k = 2.0

    @numba.njit
    def h(v):
        return v * 2.0

    def f(x):
        return np.sum(x) * h(1.0)

    return f, lambda: 0


@effect
def ctypes_():
    c = ctypes.c_double(1.0)

    def f(x):
        return np.sum(x) * c.value

    def obs():
        c.value += 1
        return 0

    return f, obs


@effect
def stdlib_array():
    a = array.array("d", [1.0])

    def f(x):
        return np.sum(x) * a[0]

    def obs():
        a[0] += 1
        return 0

    return f, obs


@effect
def memoryview_():
    b = np.ones(3)
    m = memoryview(b)

    def f(x):
        return np.sum(x) * m[0]

    def obs():
        b[0] += 1
        return 0

    return f, obs


@effect
def flatiter_nditer():
    b = np.ones(3)
    fl = b.flat

    def f(x):
        return np.sum(x) * fl[0]

    def obs():
        b[0] += 1
        return 0

    return f, obs


@effect
def dictview():
    d = {"a": 1.0}
    v = d.values()
    it = d.items()

    def f(x):
        return np.sum(x) * sum(v) * sum(q for _, q in it)

    def obs():
        d["a"] += 1
        return 0

    return f, obs


@effect
def zip_captured_in_call():
    a = [1.0, 2.0]
    z = zip(a, a)

    def f(x):
        return np.sum(x) * sum(p * q for p, q in z)

    return f, lambda: 0


@effect
def map_captured():
    m = map(float, itertools.count(1))

    def f(x):
        return np.sum(x) * next(m)

    return f, lambda: 0


@effect
def reversed_captured():
    r = reversed([1.0] * 50 + [2.0] * 2)

    def f(x):
        return np.sum(x) * next(r)

    return f, lambda: 0


@effect
def enumerate_slices():
    l = [1.0, 2.0, 3.0]

    def f(x):
        a, *b = l[1:]
        return np.sum(x) * a * sum(b)

    n = [0]

    def obs():
        n[0] += 1
        l[n[0] % 3] += 1
        return 0

    return f, obs


@effect
def star_call():
    a = [1.0, 2.0]
    kw = {"c": 3.0}

    def h(x, a, b, c=0):
        return np.sum(x) * a * b * c

    def f(x):
        return h(x, *a, **kw)

    n = [0]

    def obs():
        n[0] += 1
        if n[0] % 2:
            a[1] += 1
        else:
            kw["c"] += 1
        return 0

    return f, obs


@effect
def del_global_fallback():
    ns = {"np": np, "k": 2.0}
    exec("def f(x):\n  try: return np.sum(x) * k\n  except NameError: return np.sum(x) * 100", ns)

    def obs():
        if "k" in ns:
            del ns["k"]
        else:
            ns["k"] = 3.0
        return 0

    return ns["f"], obs


@effect
def hasattr_():
    class C:
        pass

    c = C()

    def f(x):
        return np.sum(x) * (2.0 if hasattr(c, "k") else 3.0)

    def obs():
        if hasattr(c, "k"):
            del c.k
        else:
            c.k = 1
        return 0

    return f, obs


@effect
def isinstance_abc():
    class A(abc.ABC):
        pass

    class B:
        pass

    b = B()

    def f(x):
        return np.sum(x) * (2.0 if isinstance(b, A) else 3.0)

    n = [0]

    def obs():
        n[0] += 1
        if n[0] == 2:
            A.register(B)
        return 0

    return f, obs


@effect
def instancecheck_meta():
    class M(type):
        k = False

        def __instancecheck__(c, o):
            return M.k

    class A(metaclass=M):
        pass

    def f(x):
        return np.sum(x) * (2.0 if isinstance(1, A) else 3.0)

    def obs():
        M.k = not M.k
        return 0

    return f, obs


@effect
def array_priority():
    class W:
        k = 2.0

        def __array_ufunc__(s, u, m, *a, **kw):
            return np.sum(X) * s.k

    w = W()

    def f(x):
        return np.sum(x) + np.add(w, 1.0)

    def obs():
        w.k += 1
        return 0

    return f, obs


@effect
def index_obj():
    class I:
        i = 0

        def __index__(s):
            return s.i

    i = I()

    def f(x):
        return x[i] * 2.0

    def obs():
        i.i = (i.i + 1) % 3
        return 0

    return f, obs


@effect
def hash_eq_obj():
    class K:
        v = 1

        def __hash__(s):
            return 1

        def __eq__(s, o):
            return s.v == o.v

    a, b = K(), K()
    d = {a: 5.0}

    def f(x):
        return np.sum(x) * d.get(b, 1.0)

    def obs():
        b.v = 3 - b.v
        return 0

    return f, obs


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", EFFECTS)
def test_every_effect_happens(name, transform):
    run_effect(EFFECTS[name], TRANSFORMS[transform])
