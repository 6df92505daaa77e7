"""Guards on everything a decorated function reads besides its arguments.

Each row of the tables is a small module: `f` is the function, the change touches one thing.
GUARDED rows must hold before the change and not after it; REFUSED rows must give a reason;
IMPURE rows must be found out by running once; STEADY rows must keep holding.
"""

import contextlib
import sys
import types

import numpy as np
import pytest

from tapejit.transforms.reading.reads import take


class Tensor:
    """Just enough of a tensor to be recognised by duck typing."""

    def __init__(self, data, requires_grad=False):
        self.data = np.asarray(data, float)
        self.requires_grad = requires_grad
        self.grad = None

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)

    def detach(self):
        return self

    def numpy(self):
        return self.data

    def add_(self, other):
        self.data += other
        return self

    def __mul__(self, other):
        return Tensor(self.data * getattr(other, "data", other))

    __rmul__ = __mul__


def is_tensor(value):
    return type(value) is Tensor


def guards_of(f, **options):
    return take(f, is_tensor, **options)


def module(text):
    """A fresh module from source text."""
    made = types.ModuleType("model")
    made.__dict__["Tensor"] = Tensor
    sys.modules.pop("model", None)
    exec(compile("import numpy as np\n" + text, "/somewhere/model.py", "exec"), made.__dict__)
    return made


def change(made, text):
    exec(text, made.__dict__)


CELL = """
def outer():
    s = {}
    def f(x): return {}
    def put(v):
        nonlocal s
        s = v
    return f, put
f, put = outer()
"""

LAYER = """
class Layer:
    kind = 2.0
    def __init__(self, w): self.w = w
    def __call__(self, x): return self.forward(x)
    def forward(self, x): return x * self.w * GAIN
    @property
    def double(self): return self.w * GAIN
    @staticmethod
    def plain(x): return x * GAIN
    @classmethod
    def of(cls, x): return x * cls.kind
class Model:
    def __init__(self):
        self.layers = [Layer(1.0), Layer(2.0)]
        self.first = self.layers[0]
        self.unread = object()
    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
    def use_first(self, x): return self.first.forward(x)
class Base:
    def go(self, x): return x * GAIN
class Derived(Base):
    def go(self, x): return super().go(x) + 1
GAIN = 3.0
model = Model()
layer = model.first
derived = Derived()
"""

# id: (module, change)
GUARDED = {
    "cell float": (CELL.format("2.0", "x * s"), "put(3.0)"),
    "cell int to float": (CELL.format("1", "x * s"), "put(1.0)"),
    "cell int to bool": (CELL.format("1", "x * s"), "put(True)"),
    "cell zero sign": (CELL.format("0.0", "x * s"), "put(-0.0)"),
    "cell complex zero sign": (CELL.format("0j", "x * s"), "put(complex(0.0, -0.0))"),
    "cell str": (CELL.format("'a'", "x if s == 'a' else -x"), "put('b')"),
    "cell None": (CELL.format("None", "x if s is None else -x"), "put(1)"),
    "cell np scalar": (CELL.format("np.float64(1)", "x * s"), "put(np.float32(1))"),
    "cell tuple": (CELL.format("(1, 2.0)", "x * s[1]"), "put((1, 2))"),
    "cell emptied": (
        "def outer():\n    s = 1.0\n    def f(x): return x * s\n    return f\nf = outer()",
        "del f.__closure__[0].cell_contents",
    ),
    "global float": ("s = 2.0\ndef f(x): return x * s", "s = 3.0"),
    "global gone": ("s = 2.0\ndef f(x): return x * s", "del s"),
    "global dtype": ("d = np.dtype('f8')\ndef f(x): return np.zeros(3, d)", "d = np.dtype('f4')"),
    "global enum": (
        "import enum\nclass C(enum.Enum):\n    A = 1\n    B = 2\nc = C.A\n"
        "def f(x): return x if c is C.A else -x",
        "c = C.B",
    ),
    "enum method reads a global": (
        "import enum\nk = 1.0\nclass C(enum.Enum):\n    A = 1\n    def g(self): return k\n"
        "def f(x): return x * C.A.g()",
        "k = 2.0",
    ),
    "global function": ("def g(x): return x\ndef f(x): return g(x)", "def g(x): return -x"),
    "module replaced": ("def f(x): return np.sin(x)", "import math as np"),
    "builtin shadowed": ("def f(x): return sum(x)", "def sum(x): return 0"),
    "own code": ("def f(x): return x\ndef g(x): return -x", "f.__code__ = g.__code__"),
    "helper code": (
        "def h(x): return x\ndef g(x): return -x\ndef f(x): return h(x)",
        "h.__code__ = g.__code__",
    ),
    "default": ("def f(x, s=2.0): return x * s", "f.__defaults__ = (3.0,)"),
    "default list": ("def f(x, s=[2.0]): return x * s[0]", "f.__defaults__[0][0] = 3.0"),
    "keyword default": ("def f(x, *, s=2.0): return x * s", "f.__kwdefaults__['s'] = 3.0"),
    "keyword defaults": ("def f(x, *, s=2.0): return x * s", "f.__kwdefaults__ = {'s': 3.0}"),
    "helper default": (
        "def g(x, s=[1.0]): return x * s[0]\ndef f(x): return g(x)",
        "g.__defaults__[0][0] = 2.0",
    ),
    "helper default replaced": (
        "def g(x, s=1.0): return x * s\ndef f(x): return g(x)",
        "g.__defaults__ = (2.0,)",
    ),
    "helper's global": ("s = 2.0\ndef g(x): return x * s\ndef f(x): return g(x)", "s = 3.0"),
    "helper's helper's global": (
        "s = 2.0\ndef a(x): return x * s\ndef b(x): return a(x)\ndef f(x): return b(x)",
        "s = 3.0",
    ),
    "mutual recursion": (
        "s = 2.0\ndef a(x, n): return b(x, n - 1) if n else x * s\n"
        "def b(x, n): return a(x, n)\ndef f(x): return a(x, 3)",
        "s = 3.0",
    ),
    "helper in a list": (
        "s = 2.0\ndef g(x): return x * s\ngs = [g]\ndef f(x): return [h(x) for h in gs][0]",
        "s = 3.0",
    ),
    "helper as argument": (
        "s = 2.0\ndef g(x): return x * s\ndef f(x): return list(map(g, x))",
        "s = 3.0",
    ),
    "lambda in dict": (
        "s = 2.0\nt = {'a': lambda x: x * s}\ndef f(x): return t['a'](x)",
        "s = 3.0",
    ),
    "nested function": (
        "s = 2.0\ndef f(x):\n    def g(y): return y * s\n    return g(x)",
        "s = 3.0",
    ),
    "comprehension": ("s = 2.0\ndef f(x): return [y * s for y in x]", "s = 3.0"),
    "generator expression": ("s = 2.0\ndef f(x): return sum(y * s for y in x)", "s = 3.0"),
    "helper generator": (
        "s = 2.0\ndef g(x):\n    for y in x:\n        yield y * s\ndef f(x): return sum(g(x))",
        "s = 3.0",
    ),
    "lambda": ("s = 2.0\nf = lambda x: x * s", "s = 3.0"),
    "wraps": (
        "import functools\ns = 2.0\ndef deco(g):\n    @functools.wraps(g)\n"
        "    def w(*a, **k): return g(*a, **k)\n    return w\n@deco\n@deco\n"
        "def f(x): return x * s",
        "s = 3.0",
    ),
    "wrapper pretends to be numpy": (
        "import functools\ns = 2.0\n@functools.wraps(np.mean)\ndef g(x): return x * s\n"
        "def f(x): return g(x)",
        "s = 3.0",
    ),
    "contextmanager": (
        "import contextlib\ns = 2.0\n@contextlib.contextmanager\ndef c():\n    yield s\n"
        "def f(x):\n    with c() as y:\n        return x * y",
        "s = 3.0",
    ),
    "partial": (
        "import functools\ns = 2.0\ndef g(a, x): return a * x * s\nf = functools.partial(g, 2.0)",
        "s = 3.0",
    ),
    "partial's list": (
        "import functools\ndef g(a, x): return a[0] * x\na = [1.0]\nf = functools.partial(g, a)",
        "a[0] = 2.0",
    ),
    "partial's keywords": (
        "import functools\ndef g(x, a): return a * x\nf = functools.partial(g, a=2.0)",
        "f.keywords['a'] = 3.0",
    ),
    "partial called inside": (
        "import functools\ndef g(x, a): return a[0] * x\na=[1.0]\np = functools.partial(g, a=a)\n"
        "def f(x): return p(x)",
        "a[0] = 3.0",
    ),
    "list item": ("s = [1.0, 2.0]\ndef f(x): return x * s[0]", "s[0] = 3.0"),
    "list grows": ("s = [1.0]\ndef f(x): return x * len(s)", "s.append(1.0)"),
    "list order": ("s = [1.0, 2.0]\ndef f(x): return x * s[0]", "s.reverse()"),
    "nested list": (
        "s = [[1.0], {'a': [2.0]}]\ndef f(x): return x * s[1]['a'][0]",
        "s[1]['a'][0] = 5.",
    ),
    "cyclic list": ("s = [1.0]\ns.append(s)\ndef f(x): return x * s[1][1][0]", "s[0] = 2.0"),
    "dict value": ("s = {'a': 1.0}\ndef f(x): return x * s['a']", "s['a'] = 2.0"),
    "dict key": ("s = {'a': 1.0}\ndef f(x): return x * len(s)", "s['b'] = 2.0"),
    "dict order": (
        "s = {'a': 1.0, 'b': 1.0}\ndef f(x): return x if list(s)[0] == 'a' else -x",
        "s['a'] = s.pop('a')",
    ),
    "set": ("s = {1, 2}\ndef f(x): return x * sum(s)", "s.add(5)"),
    "deque": (
        "from collections import deque\ns = deque([1.0])\ndef f(x): return x * s[0]",
        "s.append(1.0)",
    ),
    "frozenset of types": (
        "s = frozenset([1])\ndef f(x): return x * max(s)",
        "s = frozenset([1.0])",
    ),
    "object attribute": (
        "from types import SimpleNamespace as N\nc = N(a=N(lr=1.0))\ndef f(x): return x * c.a.lr",
        "c.a.lr = 2.0",
    ),
    "object replaced": (
        "from types import SimpleNamespace as N\nc = N(a=N(lr=1.0))\ndef f(x): return x * c.a.lr",
        "c.a = N(lr=2.0)",
    ),
    "object's dict replaced": (
        "class N: pass\nc = N()\nc.lr = 1.0\ndef f(x): return x * c.lr",
        "c.__dict__ = {'lr': 2.0}",
    ),
    "object through a local": (
        "from types import SimpleNamespace as N\nc = N(lr=1.0)\n"
        "def f(x):\n    d = c\n    return x * d.lr",
        "c.lr = 2.0",
    ),
    "object passed on": (
        "from types import SimpleNamespace as N\nc = N(lr=1.0)\ndef g(x, c): return x * c.lr\n"
        "def f(x): return g(x, c=c)",
        "c.lr = 2.0",
    ),
    "object's dict passed on": (
        "class N: pass\nc = N()\nc.lr = 1.0\ndef f(x): return x * next(iter([c])).lr",
        "c.__dict__ = {'lr': 2.0}",
    ),
    "attribute by getattr": (
        (
            "from types import SimpleNamespace as N\n"
            "c = N(lr=1.0)\n"
            "def f(x): return x * getattr(c, 'lr')"
        ),
        "c.lr = 2.0",
    ),
    "attribute appears": (
        "from types import SimpleNamespace as N\nc = N()\n"
        "def f(x): return x * (c.lr if hasattr(c, 'lr') else 1.0)",
        "c.lr = 2.0",
    ),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass C:\n    lr: float = 1.0\nc = C()\n"
        "def f(x): return x * c.lr",
        "c.lr = 2.0",
    ),
    "slots": (
        "class C:\n    __slots__ = ('lr',)\nc = C()\nc.lr = 1.0\ndef f(x): return x * c.lr",
        "c.lr = 2.0",
    ),
    "slots in a list": (
        "class C:\n    __slots__ = ('lr',)\nc = C()\nc.lr = 1.0\ncs = [c]\n"
        "def f(x): return x * sum(c.lr for c in cs)",
        "c.lr = 2.0",
    ),
    "slot set later": (
        "class C:\n    __slots__ = ('lr',)\nc = C()\ncs = [c]\n"
        "def f(x): return x * sum(getattr(c, 'lr', 0.0) for c in cs)",
        "c.lr = 2.0",
    ),
    "namedtuple holding a list": (
        "from collections import namedtuple\nP = namedtuple('P', 'a b')\np = P(1.0, [2.0])\n"
        "def f(x): return x * p.b[0]",
        "p.b[0] = 3.0",
    ),
    "class constant": ("class C:\n    lr = 1.0\ndef f(x): return x * C.lr", "C.lr = 2.0"),
    "class constant of instance": (
        "class C:\n    lr = 1.0\nc = C()\ndef f(x): return x * c.lr",
        "C.lr = 2.0",
    ),
    "class constant shadowed": (
        "class C:\n    lr = 1.0\nc = C()\ndef f(x): return x * c.lr",
        "c.lr = 2.0",
    ),
    "class constant in a list": (
        "class C:\n    lr = 1.0\ncs = [C()]\ndef f(x): return x * sum(c.lr for c in cs)",
        "C.lr = 2.0",
    ),
    "function attribute": ("def g(x): return x\ng.k = 1.0\ndef f(x): return x * g.k", "g.k = 2.0"),
    "user module attribute": (
        "import types\nm = types.ModuleType('m')\nm.k = 1.0\ndef f(x): return x * m.k",
        "m.k = 2.0",
    ),
    "user module function": (
        "import types\nm = types.ModuleType('m')\nm.g = lambda x: x\ndef f(x): return m.g(x)",
        "m.g = lambda x: -x",
    ),
    "method's global": (LAYER + "def f(x): return layer.forward(x)", "GAIN = 4.0"),
    "method's self": (LAYER + "def f(x): return layer.forward(x)", "layer.w = 4.0"),
    "bound method": (LAYER + "f = layer.forward", "layer.w = 4.0"),
    "bound method of model": (LAYER + "f = model.use_first", "layer.w = 4.0"),
    "callable object": (LAYER + "f = layer", "layer.w = 4.0"),
    "method replaced": (
        LAYER + "def f(x): return layer.forward(x)",
        "Layer.forward = lambda self, x: x",
    ),
    "method shadowed": (LAYER + "def f(x): return layer.forward(x)", "layer.forward = abs"),
    "call calls forward": (LAYER + "def f(x): return layer(x)", "GAIN = 4.0"),
    "call replaced": (LAYER + "def f(x): return layer(x)", "Layer.__call__ = lambda self, x: x"),
    "model's layer": (LAYER + "def f(x): return model(x)", "model.layers[1].w = 4.0"),
    "model's layers": (LAYER + "def f(x): return model(x)", "model.layers.pop()"),
    "model's layer's global": (LAYER + "def f(x): return model(x)", "GAIN = 4.0"),
    "model's layer's method": (
        LAYER + "def f(x): return model(x)",
        "Layer.forward = lambda self, x: x",
    ),
    "model itself": (LAYER + "f = model", "model.layers[1].w = 4.0"),
    "class of object": (
        LAYER + "def f(x): return layer.forward(x)",
        "layer.__class__ = type('L', (Layer,), {'forward': lambda s, x: x})",
    ),
    "property": (LAYER + "def f(x): return x * layer.double", "layer.w = 5.0"),
    "property's global": (LAYER + "def f(x): return x * layer.double", "GAIN = 5.0"),
    "property in a list": (
        LAYER + "def f(x): return x * sum(y.double for y in model.layers)",
        "GAIN = 5.0",
    ),
    "property replaced": (
        LAYER + "def f(x): return x * layer.double",
        "Layer.double = property(lambda self: 0.0)",
    ),
    "static method": (LAYER + "def f(x): return layer.plain(x)", "GAIN = 5.0"),
    "static method of class": (LAYER + "def f(x): return Layer.plain(x)", "GAIN = 5.0"),
    "class method": (LAYER + "def f(x): return layer.of(x)", "Layer.kind = 5.0"),
    "class method of class": (LAYER + "def f(x): return Layer.of(x)", "Layer.kind = 5.0"),
    "super": (LAYER + "def f(x): return derived.go(x)", "GAIN = 5.0"),
    "super replaced": (LAYER + "def f(x): return derived.go(x)", "Base.go = lambda s, x: x"),
    "super in a list": (
        LAYER + "ds = [derived]\ndef f(x): return [d.go(x) for d in ds]",
        "GAIN = 5.0",
    ),
    "super of a bound method": (LAYER + "f = derived.go", "GAIN = 5.0"),
    "constructed inside": (LAYER + "def f(x): return Layer(2.0).forward(x)", "GAIN = 5.0"),
    "constructor's global": (
        "k = 1.0\nclass C:\n    def __init__(self, x): self.y = x * k\ndef f(x): return C(x).y",
        "k = 2.0",
    ),
    "operator method": (
        (
            "k = 1.0\n"
            "class C:\n"
            "    def __mul__(self, x): return x * k\n"
            "c = C()\n"
            "def f(x): return c * x"
        ),
        "k = 2.0",
    ),
    "array contents": ("a = np.ones(3)\ndef f(x): return x * a", "a[1] = 2.0"),
    "array nan payload aside": ("a = np.array([0.0])\ndef f(x): return x * a", "a[0] = -0.0"),
    "array replaced": ("a = np.ones(3)\ndef f(x): return x * a", "a = np.ones(3)"),
    "array through a view": ("b = np.ones(6)\na = b[::2]\ndef f(x): return x * a", "b[2] = 5.0"),
    "array read-only view": (
        "b = np.ones(3)\na = b.view()\na.flags.writeable = False\ndef f(x): return x * a",
        "b[2] = 5.0",
    ),
    "array large": ("a = np.ones(10000)\ndef f(x): return x * a", "a[9999] = 2.0"),
    "array Fortran": ("a = np.ones((99, 99), order='F')\ndef f(x): return x * a", "a[3, 4] = 2.0"),
    "array in dict": ("p = {'w': np.ones(3)}\ndef f(x): return x * p['w']", "p['w'][0] = 2.0"),
    "array in object": (
        "class C: pass\nc = C()\nc.w = np.ones(3)\ndef f(x): return x * c.w",
        "c.w[0] = 2.0",
    ),
    "array item": ("a = np.ones(3)\ndef f(x): return x * float(a[0])", "a[0] = 2.0"),
    "array shape": (
        "a = np.ones((2, 3))\ndef f(x): return x * a.shape[0]",
        "a.resize((3, 2), refcheck=False)",
    ),
    "array in default": ("def f(x, a=np.ones(3)): return x * a", "f.__defaults__[0][0] = 2.0"),
    "tensor contents": ("t = Tensor([1.0])\ndef f(x): return t * x", "t.data[0] = 2.0"),
    "tensor data replaced": (
        "t = Tensor([1.0])\ndef f(x): return t * x",
        "t.data = np.array([2.0])",
    ),
    "tensor shape": ("t = Tensor([1.0])\ndef f(x): return t * x", "t.data = np.array([1.0, 1.0])"),
    "tensor replaced": ("t = Tensor([1.0])\ndef f(x): return t * x", "t = Tensor([1.0])"),
    "tensor requires_grad": ("t = Tensor([1.0])\ndef f(x): return t * x", "t.requires_grad = True"),
    "tensor in a list": ("t = [Tensor([1.0])]\ndef f(x): return t[0] * x", "t[0].data[0] = 2.0"),
    "imported inside": (
        "import sys, types\nm = types.ModuleType('model')\nm.k = 1.0\nsys.modules['model'] = m\n"
        "def f(x):\n    import model\n    return x * model.k",
        "m.k = 2.0",
    ),
    "imported from inside": (
        "import sys, types\nm = types.ModuleType('model')\nm.k = 1.0\nsys.modules['model'] = m\n"
        "def f(x):\n    from model import k\n    return x * k",
        "m.k = 2.0",
    ),
    "read in an except block": (
        "k = 1.0\ndef f(x):\n    try:\n        return x.no\n    except AttributeError:\n"
        "        return x * k",
        "k = 2.0",
    ),
    "read in a match": (
        "k = 1.0\ndef f(x):\n    match x.shape:\n        case (a, b): return x * k\n"
        "        case _: return x",
        "k = 2.0",
    ),
    "read in a class body": (
        "k = 1.0\ndef f(x):\n    class C:\n        y = k\n    return x * C.y",
        "k = 2.0",
    ),
    "vectorize": (
        "k = 1.0\ndef g(x): return x * k\nv = np.vectorize(g)\ndef f(x): return v(x)",
        "k = 2.0",
    ),
    "conditional helper": (
        "k = 1.0\ndef a(x): return x\ndef b(x): return x * k\nflag = [1]\n"
        "def f(x):\n    h = a if flag else b\n    return h(x)",
        "k = 2.0",
    ),
}


@pytest.mark.parametrize("name", GUARDED)
def test_one_change_is_noticed(name):
    text, edit = GUARDED[name]
    made = module(text)
    guards = guards_of(made.f)
    assert guards.reason is None
    assert guards.changed() is None
    assert guards.hold() is True
    assert guards.hold() is True
    assert guards.unchanged_since_taken()
    change(made, edit)
    assert guards.hold() is False
    assert guards.changed()
    assert not guards.unchanged_since_taken()


# id: (module, part of the reason)
REFUSED = {
    "lru_cache over a global": (  # the remembered value outlives the global's
        "import functools\ns = 2.0\n@functools.lru_cache\ndef g(n): return n * s\n"
        "def f(x): return x * g(2)",
        "memory of functools.lru_cache",
    ),
    "random": ("import random\ndef f(x): return x * random.random()", "random numbers"),
    "from random": ("from random import gauss\ndef f(x): return x * gauss(0, 1)", "random numbers"),
    "numpy random": ("def f(x): return x * np.random.rand()", "random numbers"),
    "from numpy random": (
        "from numpy.random import rand\ndef f(x): return rand()",
        "random numbers",
    ),
    "numpy random module": ("r = np.random\ndef f(x): return x * r.rand()", "random numbers"),
    "default_rng": ("def f(x): return np.random.default_rng(0).normal()", "random numbers"),
    "generator": ("r = np.random.default_rng(0)\ndef f(x): return r.normal()", "random numbers"),
    "generator in a dict": (
        "s = {'r': np.random.default_rng(0)}\ndef f(x): return s['r'].normal()",
        "random numbers",
    ),
    "generator method": (
        "n = np.random.default_rng(0).normal\ndef f(x): return x * n()",
        "random numbers",
    ),
    "random state": ("r = np.random.RandomState(0)\ndef f(x): return r.rand()", "random numbers"),
    "random.Random": (
        "import random\nr = [random.Random(0)]\ndef f(x): return r[0].random()",
        "random numbers",
    ),
    "in a helper": (
        "import random\ndef g(): return random.random()\ndef f(x): return x * g()",
        "random numbers",
    ),
    "in a comprehension": (
        "import random\ndef f(x): return [y * random.random() for y in x]",
        "random numbers",
    ),
    "in a method": (
        "import random\nclass C:\n    def g(self): return random.random()\ncs = [C()]\n"
        "def f(x): return [c.g() for c in cs]",
        "random numbers",
    ),
    "imported inside": (
        "def f(x):\n    import random\n    return random.random()",
        "random numbers",
    ),
    "imported from inside": (
        "def f(x):\n    from random import random\n    return random()",
        "random numbers",
    ),
    "secrets": ("import secrets\ndef f(x): return secrets.randbelow(9)", "random numbers"),
    "uuid": ("import uuid\ndef f(x): return uuid.uuid4()", "random numbers"),
    "time": ("import time\ndef f(x): return x * time.time()", "the clock"),
    "from time": ("from time import time\ndef f(x): return x * time()", "the clock"),
    "datetime": ("from datetime import datetime\ndef f(x): return datetime.now()", "the clock"),
    "os": ("import os\ndef f(x): return os.environ", "operating system"),
    "sys": ("import sys\ndef f(x): return sys.argv", "interpreter"),
    "np.load": ("def f(x): return np.load('a')", "files"),
    "print": ("def f(x):\n    print(x)\n    return x", "print()"),
    "print in a helper": ("def g(x): print(x)\ndef f(x):\n    g(x)\n    return x", "print()"),
    "print under another name": ("p = print\ndef f(x): p(x)", "print()"),
    "open": ("def f(x): return open('a')", "open()"),
    "input": ("def f(x): return input()", "input()"),
    "eval": ("def f(x): return eval('x')", "eval()"),
    "exec": ("def f(x): exec('x')", "exec()"),
    "globals": ("def f(x): return globals()['x']", "globals()"),
    "setattr": ("c = [1]\ndef f(x): setattr(c, 'a', x)", "setattr()"),
    "id": ("def f(x): return id(x)", "id()"),
    "getattr computed": (
        "class C: a = 1\nc = C()\ndef f(x): return getattr(c, 'a' + str(len(x)))",
        "computed name",
    ),
    "store global": ("k = 1\ndef f(x):\n    global k\n    k = x", "writes the global 'k'"),
    "delete global": ("k = 1\ndef f(x):\n    global k\n    del k", "deletes the global 'k'"),
    "nonlocal": (
        "def outer():\n    n = 0\n    def f(x):\n        nonlocal n\n        n = x\n    return f\n"
        "f = outer()",
        "nonlocal",
    ),
    "store attribute": (
        "class C: pass\nc = C()\ndef f(x):\n    c.last = x\n    return x",
        "attribute 'last'",
    ),
    "store attribute of self": (
        "class C:\n    def g(self, x):\n        self.last = x\n        return x\nf = C().g",
        "attribute 'last'",
    ),
    "store attribute in a list": (
        "class C: pass\ncs = [C()]\ndef f(x):\n    for c in cs:\n        c.last = x",
        "attribute 'last'",
    ),
    "store attribute in a method in a list": (
        "class C:\n    def g(self, x): self.last = x\ncs = [C()]\n"
        "def f(x):\n    for c in cs:\n        c.g(x)",
        "attribute 'last'",
    ),
    "store item": ("d = {}\ndef f(x):\n    d['a'] = x\n    return x", "an item"),
    "store item by alias": ("d = {}\ndef f(x):\n    e = d\n    e['a'] = x", "an item"),
    "store item in a helper": (
        "d = {}\ndef g(d, x): d['a'] = x\ndef f(x):\n    g(d, x)\n    return x",
        "an item",
    ),
    "store slice": ("a = np.zeros(3)\ndef f(x):\n    a[:] = x\n    return a", "writes"),
    "store view": ("a = np.zeros(3)\ndef f(x):\n    a[:2][0] = x", "writes"),
    "store reshaped": (
        "a = np.zeros(3)\ndef f(x):\n    b = a.reshape(3, 1)\n    b[0] = x",
        "writes",
    ),
    "delete item": ("d = {'a': 1}\ndef f(x):\n    del d['a']", "an item"),
    "append": ("log = []\ndef f(x):\n    log.append(x)\n    return x", ".append()"),
    "append by alias": ("log = []\ndef f(x):\n    a = log.append\n    a(x)", ".append()"),
    "append captured": ("log = []\nput = log.append\ndef f(x):\n    put(x)", "captured object"),
    "append inside": ("log = [[]]\ndef f(x):\n    for l in log:\n        l.append(x)", ".append()"),
    "append through self": (
        "class C:\n    def __init__(self): self.log = []\n    def g(self, x): self.log.append(x)\n"
        "f = C().g",
        ".append()",
    ),
    "list +=": ("log = []\ndef f(x):\n    l = log\n    l += [x]", "in place"),
    "array *=": ("a = np.ones(3)\ndef f(x):\n    b = a\n    b *= x", "in place"),
    "out=": ("a = np.ones(3)\ndef f(x): return np.add(x, x, out=a)", "writes to"),
    "ufunc.at": ("a = np.ones(3)\ndef f(x): np.add.at(a, 0, x)", "writes to"),
    "copyto": ("a = np.ones(3)\ndef f(x): np.copyto(a, x)", "writes to"),
    "array.fill": ("a = np.ones(3)\ndef f(x): a.fill(x)", ".fill()"),
    "tensor in place": ("t = Tensor([1.0])\ndef f(x): t.add_(x)", ".add_()"),
    "tensor.grad": ("t = Tensor([1.0])\ndef f(x): return t.grad", ".grad"),
    "backward": ("def f(x): x.backward()", "backward()"),
    "unset global": ("def f(x): return x * nothing", "'nothing' is not set"),
    "unset cell": (
        "def outer():\n    def f(x): return x * s\n    return f\n    s = 1\nf = outer()",
        "'s' is not set",
    ),
    "generator object": ("g = (i for i in [1, 2])\ndef f(x): return x * next(g)", "generator"),
    "iterator": ("g = iter([1, 2])\ndef f(x): return x * next(g)", "list_iterator"),
    "counter": ("import itertools\nc = itertools.count()\ndef f(x): return next(c)", "count"),
    "file": ("import sys\ns = sys.stderr\ndef f(x): s.write('')", "TextIO|EncodedFile|computed"),
    "lock": ("import threading\nl = threading.Lock()\ndef f(x):\n    with l: return x", "lock"),
    "object array": ("a = np.array([{}], object)\ndef f(x): return x * a", "dtype object"),
    "ndarray subclass": ("a = np.ma.ones(3)\ndef f(x): return x * a", "MaskedArray"),
    "too much": ("s = [[] for _ in range(20000)]\ndef f(x): return x * len(s)", "more than 10000"),
    "__getattr__": (
        "class C:\n    def __getattr__(self, n): return 1\nc = C()\ndef f(x): return c.a",
        "__getattr__",
    ),
    "__getattribute__": (
        "class C:\n    def __getattribute__(self, n): return 1\nc = C()\ndef f(x): return c.a",
        "__getattribute__",
    ),
    "generator function": ("def f(x): yield x", "generator"),
    "coroutine": ("async def f(x): return x", "coroutine"),
    "module as a value": (
        "import types\nm = types.ModuleType('m')\ndef f(x): return [m][0].k",
        "module m",
    ),
    "context variable": (
        "import contextvars\nv = contextvars.ContextVar('v')\ndef f(x): return v.get()",
        "context variables|ContextVar|computed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(name):
    text, words = REFUSED[name]
    guards = guards_of(module(text).f)
    assert guards.reason is not None
    assert any(word in guards.reason for word in words.split("|")), guards.reason
    assert guards.hold() is False
    assert guards.changed() == guards.reason
    assert not guards.unchanged_since_taken()


# Impure in ways that only a run shows: refused, or changed by running once.
IMPURE = {
    "counter in a list": "n = [0]\ndef f(x):\n    n[0] += 1\n    return x",
    "memo": "memo = {}\ndef f(x):\n    return memo.setdefault('a', x)",
    "counter in self": (
        "class C:\n    n = 0\n    def g(self, x):\n        self.n += 1\n        return x\nf = C().g"
    ),
    "writes through a tuple": "t = (np.ones(2),)\ndef f(x):\n    (a,) = t\n    a += 1",
    "writes through vars": "class C: pass\nc = C()\ndef f(x): c.__dict__['a'] = x",
    "writes through an element": (
        "class C:\n    def put(self, x): self.d['a'] = x\nc = C()\nc.d = {}\ncs = {1: c}\n"
        "def f(x): cs[1].put(x)"
    ),
    "cached property": (
        "import functools\nclass C:\n    @functools.cached_property\n    def a(self): return 1.0\n"
        "c = C()\ndef f(x): return x * c.a"
    ),
    "defaultdict": (
        "from collections import defaultdict\nd = defaultdict(float)\ndef f(x): return d['a'] * x"
    ),
}


@pytest.mark.parametrize("name", IMPURE)
def test_a_run_that_changes_what_it_captured(name):
    f = module(IMPURE[name]).f
    guards = guards_of(f)
    f(2.0)
    assert not guards.unchanged_since_taken()


# Must be cached, and keep holding after the edit.
STEADY = {
    "nothing": ("def f(x): return x", ""),
    "numpy": ("def f(x): return np.sum(np.linalg.inv(x) @ np.sin(x)) + np.pi", ""),
    "builtins": ("def f(x): return sum(abs(y) for y in zip(range(3), x)) + len(x)", ""),
    "nan": ("s = float('nan')\ndef f(x): return x * s", "s = float('nan')"),
    "equal float": ("s = 2.5\ndef f(x): return x * s", "s = float('2.5')"),
    "equal in a list": ("s = [2.5]\ndef f(x): return x * s[0]", "s[0] = float('2.5')"),
    "equal tuple": ("s = (2.5, 'a')\ndef f(x): return x * s[0]", "s = (float('2.5'), 'a')"),
    "nan in an array": ("a = np.array([np.nan])\ndef f(x): return x * a", "a[0] = np.nan"),
    "frozen array": ("a = np.ones(3)\na.flags.writeable = False\ndef f(x): return x * a", ""),
    "lru_cache over its arguments": (
        "import functools\n@functools.lru_cache\ndef g(n): return np.sqrt(n)\n"
        "def f(x): return x * g(2)",
        "g.cache_clear()",
    ),
    "unread attribute": (
        "class C: pass\nc = C()\nc.a, c.b = 1.0, open\ndef f(x): return x * c.a",
        "c.b = 2.0",
    ),
    "unread attribute of self": (LAYER + "f = model.use_first", "model.unread = 3"),
    "unread global": ("s = 1\nt = 2\ndef f(x): return x * s", "t = 3"),
    "local list": ("def f(x):\n    l = []\n    l.append(x)\n    l[0] = 2 * x\n    return l", ""),
    "local object": (LAYER + "def f(x):\n    y = Layer(x)\n    y.w = 2 * x\n    return y(x)", ""),
    "local array": (
        "a = np.ones(3)\ndef f(x):\n    b = a * x\n    b[0] = 1\n    b += 1\n    return b",
        "",
    ),
    "copy of an array": (
        "a = np.ones(3)\ndef f(x):\n    b = np.copy(a)\n    b[0] = 1\n    return b",
        "",
    ),
    "argument in place": ("def f(x):\n    x[0] = 1.0\n    x += 1\n    return x", ""),
    "own nonlocal": (
        (
            "def f(x):\n"
            "    n = 0\n"
            "    def g():\n"
            "        nonlocal n\n"
            "        n += 1\n"
            "    g()\n"
            "    return n"
        ),
        "",
    ),
    "raise": ("def f(x):\n    if len(x) > 3: raise ValueError(f'bad {x!r:>5}')\n    return x", ""),
    "with": ("def f(x):\n    with np.errstate(all='ignore'):\n        return np.log(x)", ""),
    "loops": (
        "def f(x):\n    while x > 0:\n        for i in range(3):\n            if i: continue\n"
        "            x = x - 1\n        else:\n            x -= 1\n    return x",
        "",
    ),
    "unpacking": ("def f(*a, **k):\n    b, *c = a\n    return dict(k, **{'z': b}), [*c], {*c}", ""),
    "try": (
        "def f(x):\n    try:\n        return 1 / x\n    except (ValueError, TypeError) as e:\n"
        "        raise RuntimeError from e\n    finally:\n        x = 2",
        "",
    ),
    "walrus and ternary": ("def f(x): return (y := x) if x and x > 1 or not x else -y", ""),
    "sorted with a key": ("def f(x): return sorted(x, key=lambda y: -y)", ""),
    "coefficients": (
        "cs = [1.0, 2.0]\ndef f(x):\n    y = cs[0]\n    for c in cs:\n        y *= x\n"
        "        y += c\n    return y",
        "",
    ),
    "layers in place": (
        LAYER
        + "def f(x):\n    for y in model.layers:\n        x = y(x)\n        x += 1\n    return x",
        "",
    ),
    "import inside": (
        "def f(x):\n    import math\n    from math import pi\n    return math.sin(pi)",
        "",
    ),
    "submodule inside": ("def f(x):\n    import numpy.linalg as l\n    return l.norm(x)", ""),
    "reduce": (
        "import functools, operator\ndef f(x): return functools.reduce(operator.mul, x)",
        "",
    ),
    "float_info": ("import sys\ndef f(x): return x * sys.float_info.eps", ""),
    "dict default": ("d = {'a': 1.0}\ndef f(x): return x * d.get('b', 2.0)", ""),
    "isinstance": ("class C: pass\ndef f(x): return 1 if isinstance(x, (C, float)) else x", ""),
}


@pytest.mark.parametrize("name", STEADY)
def test_nothing_that_matters_changed(name):
    text, edit = STEADY[name]
    made = module(text)
    guards = guards_of(made.f)
    assert guards.reason is None
    assert guards.hold() is True
    change(made, edit)
    assert guards.hold() is True
    assert guards.changed() is None
    assert guards.unchanged_since_taken()


# Rarer ways to read or write: refused or noticed, whichever; never stale.  Where no change is
# given, running `f` twice with the same argument must not look pure.
EXOTIC = {
    "inherited attr later": (
        ("class B:\n    k=1.0\nclass C(B): pass\nc=C()\ndef f(x): return x*c.k"),
        "C.k=2.0",
    ),
    "global list aliasing list()": ("L=[[1.0]]\ndef f(x): return x*list(L)[0][0]", "L[0][0]=2."),
    "star args": (
        ("c={'a':1.0}\ndef g(x,**k): return x*k['a']\ndef f(x): return g(x,**c)"),
        "c['a']=2.",
    ),
    "star list": ("c=[1.0]\ndef g(x,a): return x*a\ndef f(x): return g(x,*c)", "c[0]=2."),
    "format": (
        (
            "class C:\n"
            "    def __str__(self): return str(k)\n"
            "k=1\n"
            "c=C()\n"
            "def f(x): return x if str(c)=='1' else -x"
        ),
        "k=2",
    ),
    "hash/eq dataclass": (
        (
            "from dataclasses import dataclass\n"
            "@dataclass\n"
            "class D:\n"
            "    a: float=1.0\n"
            "d=D(); e=D()\n"
            "def f(x): return x if d==e else -x"
        ),
        "e.a=3.0",
    ),
    "operator.methodcaller-like": (
        (
            "import operator\n"
            "k=1\n"
            "class C:\n"
            "    def go(self): return k\n"
            "c=C()\n"
            "def f(x): return x*operator.methodcaller('go')(c)"
        ),
        "k=2",
    ),
    "map over methods": (
        (
            "k=1\n"
            "class C:\n"
            "    def go(self): return k\n"
            "cs=[C()]\n"
            "def f(x): return x*sum(map(C.go,cs))"
        ),
        "k=2",
    ),
    "abs on object": (
        ("k=1\nclass C:\n    def __abs__(self): return k\nc=C()\ndef f(x): return x*abs(c)"),
        "k=2",
    ),
    "with user ctx": (
        (
            "k=1\n"
            "class C:\n"
            "    def __enter__(self): return k\n"
            "    def __exit__(self,*a): pass\n"
            "c=C()\n"
            "def f(x):\n"
            "    with c as y: return x*y"
        ),
        "k=2",
    ),
    "iter user": (
        (
            "k=1\n"
            "class C:\n"
            "    def __iter__(self): yield k\n"
            "c=C()\n"
            "def f(x): return x*[y for y in c][0]"
        ),
        "k=2",
    ),
    "getitem user": (
        ("k=1\nclass C:\n    def __getitem__(self,i): return k\nc=C()\ndef f(x): return x*c[0]"),
        "k=2",
    ),
    "descriptor": (
        (
            "k=1\n"
            "class D:\n"
            "    def __get__(self,o,t): return k\n"
            "class C:\n"
            "    d=D()\n"
            "c=C()\n"
            "def f(x): return x*c.d"
        ),
        "k=2",
    ),
    "descriptor in list": (
        (
            "k=1\n"
            "class D:\n"
            "    def __get__(self,o,t): return k\n"
            "class C:\n"
            "    d=D()\n"
            "c=[C()]\n"
            "def f(x): return x*c[0].d"
        ),
        "k=2",
    ),
    "descriptor in list iter": (
        (
            "k=1\n"
            "class D:\n"
            "    def __get__(self,o,t): return k\n"
            "class C:\n"
            "    d=D()\n"
            "c=[C()]\n"
            "def f(x): return x*sum(y.d for y in c)"
        ),
        "k=2",
    ),
    "metaclass attr": (
        (
            "class M(type):\n"
            "    @property\n"
            "    def k(cls): return v\n"
            "class C(metaclass=M): pass\n"
            "v=1\n"
            "def f(x): return x*C.k"
        ),
        "v=2",
    ),
    "list subclass": ("class L(list):\n    pass\nl=L([1.0])\ndef f(x): return x*l[0]", "l[0]=2."),
    "dict subclass": (
        "class L(dict):\n    pass\nl=L(a=1.0)\ndef f(x): return x*l['a']",
        "l['a']=2.",
    ),
    "float subclass": (
        "class F(float):\n    pass\nl=F(1.0); l.k=1\ndef f(x): return x*l.k",
        "l.k=2.",
    ),
    "int enum flag": (
        ("import enum\nclass E(enum.IntEnum):\n    A=1\n    B=2\ne=E.A\ndef f(x): return x*e"),
        "e=E.B",
    ),
    "tuple of list": ("t=([1.0],)\ndef f(x): return x*t[0][0]", "t[0][0]=2."),
    "weakref": (
        ("import weakref\nclass C: k=1\nc=C()\nw=weakref.ref(c)\ndef f(x): return x*w().k"),
        "c.k=2",
    ),
    "sys.modules": ("import sys\ndef f(x): return x*sys.modules['zz'].k", ""),
    "np.vectorize kw": ("k=1\ndef f(x): return np.apply_along_axis(lambda r: r*k,0,x)", "k=2"),
    "singledispatch": (
        (
            "import functools\n"
            "k=1\n"
            "@functools.singledispatch\n"
            "def g(x): return x*k\n"
            "def f(x): return g(x)"
        ),
        "k=2",
    ),
    "partialmethod": (
        (
            "import functools\n"
            "k=1\n"
            "class C:\n"
            "    def g(self,a,x): return a*x*k\n"
            "    h=functools.partialmethod(g,2)\n"
            "c=C()\n"
            "def f(x): return c.h(x)"
        ),
        "k=2",
    ),
    "lru on method": (
        (
            "import functools\n"
            "k=1\n"
            "class C:\n"
            "    @functools.lru_cache\n"
            "    def g(self): return k\n"
            "c=C()\n"
            "def f(x): return x*c.g()"
        ),
        "k=2",
    ),
    "class decorator callable": (
        (
            "k=1\n"
            "class D:\n"
            "    def __init__(self,f): self.f=f\n"
            "    def __call__(self,*a): return self.f(*a)\n"
            "@D\n"
            "def f(x): return x*k"
        ),
        "k=2",
    ),
    "attribute of result": (
        ("class C: pass\nc=C(); c.k=1.0\ndef g(): return c\ndef f(x): return x*g().k"),
        "c.k=2.",
    ),
    "attribute of result2": (
        (
            "class C: pass\n"
            "c=C(); c.d=C(); c.d.k=1.0\n"
            "def g(): return [c]\n"
            "def f(x): return x*g()[0].d.k"
        ),
        "c.d.k=2.",
    ),
    "tuple swap": (
        (
            "class C: pass\n"
            "c=C(); c.k=1.0\n"
            "d=C(); d.k=2.\n"
            "def f(x):\n"
            "    a,b=c,d\n"
            "    a,b=b,a\n"
            "    return x*a.k"
        ),
        "d.k=4.",
    ),
    "loop var": (
        (
            "class C: pass\n"
            "c=C(); c.n=C(); c.k=1.; c.n.k=3.0\n"
            "def f(x):\n"
            "    p=c\n"
            "    for i in range(2):\n"
            "        y=p.k\n"
            "        p=p.n\n"
            "    return x*y"
        ),
        "c.n.k=5.",
    ),
    "while linked": (
        (
            "class C: pass\n"
            "c=C(); c.k=1.; c.n=C(); c.n.k=2.; c.n.n=None\n"
            "def f(x):\n"
            "    p=c\n"
            "    while p is not None:\n"
            "        x=x*p.k\n"
            "        p=p.n\n"
            "    return x"
        ),
        "c.n.k=5.",
    ),
    "setdefault arg list": (
        ("class C: pass\nc=C(); c.k=1.\ndef f(x):\n    l=[]\n    l.append(c)\n    return x*l[0].k"),
        "c.k=5.",
    ),
    "inst store": (
        ("class C: pass\nc=C(); c.k=1.\ndef f(x):\n    o=C()\n    o.c=c\n    return x*o.c.k"),
        "c.k=5.",
    ),
    "nested closure": (
        (
            "class C: pass\n"
            "c=C(); c.k=1.\n"
            "def f(x):\n"
            "    o=c\n"
            "    def g(): return o.k\n"
            "    return x*g()"
        ),
        "c.k=5.",
    ),
    "nested default": (
        ("class C: pass\nc=C(); c.k=1.\ndef f(x):\n    def g(o=c): return o.k\n    return x*g()"),
        "c.k=5.",
    ),
    "nested param": (
        ("class C: pass\nc=C(); c.k=1.\ndef f(x):\n    def g(o): return o.k\n    return x*g(c)"),
        "c.k=5.",
    ),
    "nested class method": (
        ("k=1.\ndef f(x):\n    class D:\n        def go(self): return k\n    return x*D().go()"),
        "k=5.",
    ),
    "inherit class nested": (
        (
            "k=1.\n"
            "class B:\n"
            "    def go(self): return k\n"
            "def f(x):\n"
            "    class D(B): pass\n"
            "    return x*D().go()"
        ),
        "k=5.",
    ),
    "class via type()": (
        ("k=1.\nclass B:\n    def go(self): return k\nb=B()\ndef f(x): return x*type(b)().go()"),
        "k=5.",
    ),
    "class attr method call __init__ subclass": (
        (
            "k=1.\n"
            "class A:\n"
            "    def __init__(self): self.v=k\n"
            "class B(A):\n"
            "    def __init__(self): super().__init__()\n"
            "def f(x): return x*B().v"
        ),
        "k=5.",
    ),
    "method stored in dict": (
        (
            "k=1.\n"
            "class A:\n"
            "    def go(self,x): return x*k\n"
            "a=A()\n"
            "d={'g':a.go}\n"
            "def f(x): return d['g'](x)"
        ),
        "k=5.",
    ),
    "attr of class in list": ("class A: k=1.\nl=[A]\ndef f(x): return x*l[0].k", "A.k=2."),
    "attr of class in list iter": (
        "class A: k=1.\nl=[A]\ndef f(x): return x*sum(a.k for a in l)",
        "A.k=2.",
    ),
    "default arg root omitted": ("class C: k=1.\ndef f(x,c=C()): return x*c.k", "C.k=2."),
    "global in default lambda": ("k=1.\ndef f(x,g=lambda y: y*k): return g(x)", "k=2."),
    "kwonly func": ("k=1.\ndef h(y): return y*k\ndef f(x,*,g=h): return g(x)", "k=2."),
    "mutated func default dict alias": (
        "d={'a':1.}\ndef g(x,d=d): return x*d['a']\ndef f(x): return g(x)",
        "d['a']=2.",
    ),
    "np array of array field": (
        "a=np.zeros(2,dtype=[('u','f8')])\ndef f(x): return x*a['u'][0]",
        "a['u'][0]=3",
    ),
    "array 0d": ("a=np.array(1.0)\ndef f(x): return x*a", "a[()]=2."),
    "readonly memoryview base": (
        ("b=bytearray(8)\na=np.frombuffer(b)\na.flags.writeable=False\ndef f(x): return x*a"),
        "b[7]=64",
    ),
    "recarray": (
        ("a=np.rec.array([(1.0,)],dtype=[('u','f8')])\ndef f(x): return x*a.u[0]"),
        "a.u[0]=3",
    ),
    "module alias func": (
        (
            "import types\n"
            "m=types.ModuleType('m')\n"
            "m.s=types.ModuleType('m.s')\n"
            "m.s.k=1.\n"
            "def f(x): return x*m.s.k"
        ),
        "m.s.k=2.",
    ),
    "getattr module": (
        ("import types\nm=types.ModuleType('m')\nm.k=1.\ndef f(x): return x*getattr(m,'k')"),
        "m.k=2.",
    ),
    "method names via self.__class__": (
        ("class C:\n    k=1.\n    def g(self,x): return x*self.__class__.k\nf=C().g"),
        "C.k=2.",
    ),
    "type(self)": (
        ("class C:\n    k=1.\n    def g(self,x): return x*type(self).k\nf=C().g"),
        "C.k=2.",
    ),
    "walrus except star": (
        (
            "k=1.\n"
            "def f(x):\n"
            "    try: raise ExceptionGroup('a',[ValueError()])\n"
            "    except* ValueError: y=k\n"
            "    return x*y"
        ),
        "k=2.",
    ),
    "yield from": ("k=1.\ndef g(x):\n    yield from [k*x]\ndef f(x): return sum(g(x))", "k=2."),
    "numba-like": (
        (
            "k=1.\n"
            "class N:\n"
            "    __module__='numba.core'\n"
            "    def __init__(self,f): self.py_func=f\n"
            "    def __call__(self,*a): return self.py_func(*a)\n"
            "g=N(lambda x:x*k)\n"
            "def f(x): return g(x)"
        ),
        "k=2.",
    ),
    "reversed/enumerate": (
        (
            "class C: pass\n"
            "c=C(); c.k=1.\n"
            "l=[c]\n"
            "def f(x):\n"
            "    for i,o in enumerate(reversed(l)): x=x*o.k\n"
            "    return x"
        ),
        "c.k=2.",
    ),
    "ChainMap": (
        ("from collections import ChainMap\nd={'a':1.}\nm=ChainMap(d)\ndef f(x): return x*m['a']"),
        "d['a']=2.",
    ),
    "operator.attrgetter captured": (
        (
            "import operator\n"
            "k=1.\n"
            "class C:\n"
            "    @property\n"
            "    def q(self): return k\n"
            "c=C()\n"
            "g=operator.attrgetter('q')\n"
            "def f(x): return x*g(c)"
        ),
        "k=2.",
    ),
    "decorated jit inner": (
        (
            "k=1.\n"
            "class J:\n"
            "    __module__='tapejit.transforms'\n"
            "    def __init__(self,f): self.__wrapped__=f\n"
            "    def __call__(self,*a): return self.__wrapped__(*a)\n"
            "g=J(lambda x:x*k)\n"
            "def f(x): return g(x)"
        ),
        "k=2.",
    ),
    "write in inner": (
        ("class C: pass\nc=C(); c.k=1.\ndef f(x):\n    def g(o): o.k=x\n    g(c)\n    return x"),
        "c.k=5.",
    ),
    "write in inner of inner": (
        (
            "class C: pass\n"
            "c=C(); c.k=1.\n"
            "def f(x):\n"
            "    def g(o): o.k=x\n"
            "    def h(): g(c)\n"
            "    h()\n"
            "    return x"
        ),
        "c.k=5.",
    ),
    "write to yielded": (
        (
            "class C: pass\n"
            "c=C(); c.k=1.\n"
            "def g(): yield c\n"
            "def f(x):\n"
            "    for o in g(): o.k=x\n"
            "    return x"
        ),
        "c.k=5.",
    ),
    "inner recursion": (
        (
            "class C: pass\n"
            "c=C(); c.k=1.\n"
            "def f(x):\n"
            "    def g(o,n): return g(o,n-1) if n else o.k\n"
            "    return x*g(c,2)"
        ),
        "c.k=5.",
    ),
    "inner 3 deep": (
        (
            "class C: pass\n"
            "c=C(); c.k=1.\n"
            "def f(x):\n"
            "    def g(o):\n"
            "        def h():\n"
            "            return o.k\n"
            "        return h()\n"
            "    return x*g(c)"
        ),
        "c.k=5.",
    ),
    "two calls": (
        (
            "class C: pass\n"
            "c=C(); c.k=1.\n"
            "d=C(); d.k=1.\n"
            "def f(x):\n"
            "    def g(o): return o.k\n"
            "    return x*g(c)*g(d)"
        ),
        "d.k=5.",
    ),
    "inner returned": (
        ("k=1.\ndef mk(): \n    def g(x): return x*k\n    return g\ndef f(x): return mk()(x)"),
        "k=5.",
    ),
    "inner decorated": (
        (
            "k=1.\n"
            "def deco(g): return lambda x: g(x)*k\n"
            "def f(x):\n"
            "    @deco\n"
            "    def h(y): return y\n"
            "    return h(x)"
        ),
        "k=5.",
    ),
    "slot class attr write": (
        ("class C:\n    __slots__=('k',)\nc=C(); c.k=1.\ndef f(x):\n    c.k=x\n    return x"),
        "c.k=5.",
    ),
    "thread local": (
        ("import threading\nt=threading.local(); t.k=1.\ndef f(x): return x*t.k"),
        "t.k=5.",
    ),
    "exc class user": (
        (
            "k=1.\n"
            "class E(Exception):\n"
            "    def __init__(s): s.v=k\n"
            "def f(x):\n"
            "    try: raise E()\n"
            "    except E as e: return x*e.v"
        ),
        "k=5.",
    ),
    "property setter": (
        (
            "class C:\n"
            "    @property\n"
            "    def p(s): return 1\n"
            "    @p.setter\n"
            "    def p(s,v): s.q=v\n"
            "c=C(); c.q=1.\n"
            "def f(x):\n"
            "    c.p=x\n"
            "    return x"
        ),
        "c.q=2",
    ),
    "global type alias": ("T=float\ndef f(x): return T(x)", "T=int"),
    "numba njit style cfg": (
        "k={'a':(1.0,[2.0])}\ndef f(x):\n    (a,(b,))=k['a']\n    return x*b",
        "k['a'][1][0]=5.",
    ),
    "dict iteration keys": (
        ("k={'a':1.0}\ndef f(x):\n    for n,v in k.items(): x=x*v\n    return x"),
        "k['a']=5.",
    ),
    "dict comprehension": (
        ("k={'a':1.0}\ndef f(x): return x*sum({n:v for n,v in k.items()}.values())"),
        "k['a']=5.",
    ),
    "str.join names": ("names=['a']\nd={'a':1.}\ndef f(x): return x*d[names[0]]", "names[0]='b'"),
    "complex nan": ("k=complex('nan')\ndef f(x): return x*k", "k=1j"),
    "bytes bytearray": ("k=bytearray(b'a')\ndef f(x): return x*k[0]", "k[0]=3"),
    "big sliced": (
        ("import numpy as np\na=np.zeros((400,400))[:, ::2]\ndef f(x): return x*a"),
        "a[399,199]=3",
    ),
    "transposed3d": (
        ("import numpy as np\na=np.zeros((40,40,40)).transpose(1,2,0)\ndef f(x): return x*a"),
        "a[39,39,39]=3",
    ),
    "reload-like": (
        (
            "import types\n"
            "m=types.ModuleType('m')\n"
            "exec('def g(x): return x*k\\nk=1.',m.__dict__)\n"
            "def f(x): return m.g(x)"
        ),
        "m.k=2.",
    ),
    "time in default": ("import time\ndef f(x,t=time.time): return x*t()", ""),
    "random in cell dict": (
        "import random\nd={'r':random.random}\ndef f(x): return x*d['r']()",
        "",
    ),
    "random in partial": (
        ("import random,functools\np=functools.partial(random.gauss,0,1)\ndef f(x): return x*p()"),
        "",
    ),
    "np.random.seed": ("def f(x):\n    np.random.seed(0)\n    return x", ""),
    "np.random choice alias": ("c=np.random.choice\ndef f(x): return c(x)", ""),
    "os.urandom": ("from os import urandom\ndef f(x): return x*urandom(1)[0]", ""),
    "datetime today": ("import datetime as dt\ndef f(x): return dt.date.today()", ""),
    "perf counter": ("from time import perf_counter as p\ndef f(x): return x*p()", ""),
    "list iter attr": (
        (
            "class It:\n"
            "    def __init__(s): s.i=0\n"
            "    def __iter__(s): return s\n"
            "    def __next__(s):\n"
            "        s.i+=1\n"
            "        if s.i>2: raise StopIteration\n"
            "        return s.i\n"
            "it=It()\n"
            "def f(x):\n"
            "    for i in it: x=x*i\n"
            "    return x"
        ),
        "",
    ),
    "log call": (
        ("import logging\nlog=logging.getLogger()\ndef f(x):\n    log.info('a')\n    return x"),
        "",
    ),
    "warn": ("import warnings\ndef f(x):\n    warnings.warn('a')\n    return x", ""),
    "callback list": (
        ("out=[]\ndef cb(v): out.append(v)\ndef f(x,cb=cb):\n    cb(x)\n    return x"),
        "",
    ),
    "str path write": (
        ("from pathlib import Path\ndef f(x):\n    Path('/tmp/zz').write_text('a')\n    return x"),
        "",
    ),
    "queue": (("import queue\nq=queue.Queue()\ndef f(x):\n    q.put(x)\n    return x"), ""),
    "map append": ("out=[]\ndef f(x):\n    list(map(out.append,[x]))\n    return x", ""),
    "listcomp append": ("out=[]\ndef f(x):\n    [out.append(v) for v in [x]]\n    return x", ""),
    "exec via operator": (
        ("import operator\nd={}\ndef f(x):\n    operator.setitem(d,'a',x)\n    return x"),
        "",
    ),
    "dict |=": ("d={'a':1}\ndef f(x):\n    e=d\n    e|={'a':x}\n    return x", ""),
    "setattr obj": (
        ("class C: pass\nc=C()\ndef f(x):\n    object.__setattr__(c,'a',x)\n    return x"),
        "",
    ),
    "update dict": (
        ("class C: pass\nc=C()\ndef f(x):\n    c.__dict__.update(a=x)\n    return x"),
        "",
    ),
    "vars update": ("class C: pass\nc=C()\ndef f(x):\n    vars(c)['a']=x\n    return x", ""),
    "array view write": ("a=np.zeros(3)\ndef f(x):\n    v=a[1:]\n    v+=x\n    return v", ""),
    "array flat write": ("a=np.zeros(3)\ndef f(x):\n    a.flat[0]=x\n    return a", ""),
    "for array rows write": (
        "a=np.zeros((3,3))\ndef f(x):\n    for r in a: r[0]=x\n    return a",
        "",
    ),
    "walrus write": ("d={}\ndef f(x):\n    (e:=d)['a']=x\n    return x", ""),
    "cond alias write": ("d={}\ndef f(x):\n    e=d if x else None\n    e['a']=x\n    return x", ""),
    "or alias write": ("d={}\ndef f(x):\n    e=d or {}\n    e['a']=x\n    return x", ""),
    "with alias write": (
        (
            "import contextlib\n"
            "d={}\n"
            "def f(x):\n"
            "    with contextlib.nullcontext(d) as e: e['a']=x\n"
            "    return x"
        ),
        "",
    ),
    "zip write": (("ds=[{}]\ndef f(x):\n    for d,v in zip(ds,[x]): d['a']=v\n    return x"), ""),
    "np.add out pos": ("a=np.zeros(1)\ndef f(x):\n    np.add(x,x,a)\n    return x", ""),
    "helper returns self attr": (
        (
            "class C:\n"
            "    def get(s): return s.d\n"
            "c=C(); c.d={}\n"
            "def f(x):\n"
            "    c.get()['a']=x\n"
            "    return x"
        ),
        "",
    ),
    "dict.get write": ("ds={'a':{}}\ndef f(x):\n    ds.get('a')['k']=x\n    return x", ""),
    "sort arr": ("a=np.zeros(1)\ndef f(x):\n    a.sort()\n    return x", ""),
}


@pytest.mark.parametrize("name", EXOTIC)
def test_exotic_code_is_never_stale(name):
    text, edit = EXOTIC[name]
    made = module(text)
    guards = guards_of(made.f)
    if guards.reason is None:
        assert guards.hold() is True
        with contextlib.suppress(Exception):
            made.f(2.0)
        if edit:
            change(made, edit)
            assert guards.hold() is False
        else:
            guards = guards_of(made.f)  # the second run may write what is there already
            made.f(2.0)
            assert not guards.unchanged_since_taken()


def test_builtins_given_directly_need_no_guards():
    for f in (np.sin, np.mean, abs, len):
        guards = guards_of(f)
        assert guards.reason is None and guards.hold() and guards.checks == []


def test_random_numbers_through_scipy():
    pytest.importorskip("scipy")
    made = module("from scipy import stats\ndef f(x): return x * stats.norm.rvs()")
    assert "random numbers" in guards_of(made.f).reason


def test_the_reason_says_where():
    guards = guards_of(module("def f(x):\n    global k\n    k = x").f)
    assert guards.reason == "model.py:4: writes the global 'k'"


def test_changed_names_the_first_difference():
    made = module("scale = 2.0\ndef f(x): return x * scale")
    guards = guards_of(made.f)
    made.scale = 3.0
    assert guards.changed() == "global 'scale' of model.py: 2.0 -> 3.0"


@pytest.mark.parametrize("contents", [True, False])
def test_contents_can_be_left_to_the_caller(contents):
    made = module("a = np.ones(3)\nt = Tensor([1.0])\ndef f(x): return t * (x * a)")
    guards = guards_of(made.f, contents=contents)
    assert [value for _, value in guards.arrays] == [made.a, made.t] or len(guards.arrays) == 2
    made.a[0] = 5.0
    made.t.data[0] = 5.0
    assert guards.hold() is not contents


def test_arrays_are_found_with_identity():
    made = module("w = {'a': np.ones(3)}\nt = Tensor([1.0])\ndef f(x): return t * (x * w['a'])")
    found = [value for _, value in guards_of(made.f).arrays]
    assert len(found) == 2
    assert any(value is made.w["a"] for value in found)
    assert any(value is made.t for value in found)


def test_the_test_is_readable():
    made = module("scale = 2.0\ndef f(x): return x * scale")
    text = guards_of(made.f).text()
    assert "['scale'] is v" in text and "same(" in text
