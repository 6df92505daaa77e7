"""Random Python functions as source text, and random changes of all that they read.

A `World` is one program: a module of its own with a function `f(x, y, scale=...)`, helpers, a
class, a closure, captured numbers, lists, dicts and arrays; `World.change` alters one of these, or
the arguments: values, in place or rebound, shapes, dtypes, layouts, aliasing, structure.  Few
values are drawn for each, so that a program comes back to states it has been in.

Every expression has the shape of `x` or is a number; magnitudes are kept small.
"""

from __future__ import annotations

import types
from collections.abc import Callable

import numpy as np

NUMBERS = (0.5, -1.25, 2.0, 0.0, -0.0, 1, True)

HELPERS = (
    "def {name}(v): return np.tanh(v) * K",
    "def {name}(v): return v * CONF['k'] + 0.25",
    "def {name}(v, *, k=0.5): return np.sin(v) * k + OBJ.k",
    "def {name}(v): return v if FLAG else -v",
    "def {name}(v): return np.where(v > K, v, v * 0.5)",
    "def {name}(v): return sum([v * t for t in TABLE], 0.0 * v)",
)

MODULE = """
class Layer:
    slope = 0.5
    def __init__(self, w): self.w, self.k = w, 0.75
    @property
    def twice(self): return 2 * self.k
    def apply(self, v): return v * self.w + self.k
    def __call__(self, v): return np.cos(v) * self.slope

class Other(Layer):
    def apply(self, v): return super().apply(v) - 1.0

def make():
    inner = 1.5
    def closure(v): return v * inner
    def put(value):
        nonlocal inner
        inner = value
    return closure, put

closure, put = make()
"""


class Writer:
    """Writes the statements of one function."""

    def __init__(self, generator):
        self.generator = generator
        self.vectors = ["x", "z"]
        self.lines: list[str] = []
        self.made = 0

    def pick(self, options):
        """One of these."""
        return options[int(self.generator.integers(len(options)))]

    def vector(self) -> str:
        """The name of a value with the shape of x."""
        return self.pick(self.vectors)

    def number(self) -> str:
        """A number that no argument decides."""
        return self.pick(
            ("K", "N", "TABLE[0]", "TABLE[-1]", "CONF['k']", "OBJ.k", "OBJ.twice", "Layer.slope",
             "scale", "W[0]", "float(W[-1])", "W.tolist()[0]", "np.sum(np.cos(W))", "len(TABLE)",
             "0.7", "2", "sum(t * t for t in TABLE)", "max(TABLE)")
        )  # fmt: skip

    def expression(self) -> str:
        """A new value with the shape of x."""
        a, b, k = self.vector(), self.vector(), self.number()
        return self.pick(
            (f"np.sin({a}) + {k}", f"np.tanh({a} * {b})", f"{a} - {b}", f"{a} * {k}",
             f"np.maximum({a}, {k})", f"{a} / (1.0 + np.abs({b}))", f"np.exp(-np.abs({a}))",
             f"np.where({a} > {k}, {a}, {b})", f"{a} * W", f"W[::-1] + {a}", f"h0({a})", f"h1({a})",
             f"OBJ.apply({a})", f"OBJ({a})", f"CONF['f']({a})", f"closure({a})",
             f"(lambda v: v * {k} + {b})({a})", f"{a} * np.sum({b} * 0.1)", f"-{a} + np.mean({b})",
             f"np.log1p(np.abs(W)) * {a}", f"np.clip({a}, -1.0, 1.0)", f"{a}.copy()",
             f"np.sqrt(np.abs({a}) + 1.0) * {k}")
        )  # fmt: skip

    def condition(self) -> str:
        """What an `if` asks: data, captured values, shapes."""
        a, k = self.vector(), self.number()
        return self.pick(
            (f"np.sum({a}) > {k}", f"{k} > 0.6", "FLAG", f"np.any({a} > 0.5)", "x.ndim == 2",
             "x.shape[-1] > 2", f"float(np.max({a})) > 1.0", "isinstance(y, dict)",
             "'extra' in CONF",
             f"np.max({a}) < {k} and not FLAG", "x.dtype == W.dtype")
        )  # fmt: skip

    def emit(self, depth, text):
        self.lines.append("    " * depth + text)

    def assign(self, depth):
        """name = expression; the name is known from here on, if it always is."""
        text = self.expression()
        if depth == 1 or self.made == 0:
            self.made += 1
            name = f"v{self.made}"
            self.emit(depth, f"{name} = {text}")
            if depth == 1:
                self.vectors.append(name)
        else:
            self.emit(depth, f"{self.pick([v for v in self.vectors if v != 'x'])} = {text}")

    def statement(self, depth):
        """One statement with all that belongs to it."""
        form = int(self.generator.integers(12)) if depth < 3 else 0
        target = self.pick([v for v in self.vectors if v != "x"])
        if form == 6:
            self.emit(depth, f"if {self.condition()}:")
            self.statement(depth + 1)
            if self.generator.integers(2):
                self.emit(depth, "else:")
                self.statement(depth + 1)
        elif form == 7:
            self.emit(depth, "for i in range(N):")
            self.emit(depth + 1, f"{target} = {target} * TABLE[i % len(TABLE)] + i")
        elif form == 8:
            self.emit(depth, f"while np.max(np.abs({target})) > 2.0:")
            self.emit(depth + 1, f"{target} = {target} * 0.25")
        elif form == 9:
            self.emit(depth, f"n = int(abs(float(np.sum({target})))) % 3")
            self.emit(depth, f"{target} = {target} + n")
        elif form == 10:
            self.emit(depth, "buffer = np.zeros(x.shape)")
            self.emit(depth, f"buffer[..., 0] = {self.number()}")
            self.emit(depth, f"{target} = {target} + buffer")
        elif form == 11:
            self.emit(depth, "for key, value in CONF.items():")
            self.emit(depth + 1, f"{target} = {target} + (value if key == 'k' else 0.5)")
        else:
            self.assign(depth)


def write_function(generator) -> str:
    """The source text of `f`."""
    writer = Writer(generator)
    writer.emit(1, "u = y['a'] if isinstance(y, dict) else y[0] if isinstance(y, tuple) else y")
    writer.emit(1, "z = x * 0.5 + u")
    for _ in range(int(generator.integers(3, 8))):
        writer.statement(1)
    a, b, c = writer.vector(), writer.vector(), writer.vectors[-1]
    writer.emit(1, f"return np.sum({a} * {b} + {c})")
    return "def f(x, y, scale=0.5):\n" + "\n".join(writer.lines) + "\n"


class World:
    """One random program with everything it reads, and its arguments."""

    def __init__(self, seed: int):
        self.generator = generator = np.random.default_rng(seed)
        helpers = [HELPERS[i] for i in generator.integers(len(HELPERS), size=2)]
        self.source = MODULE + "".join(
            text.format(name=f"h{i}") + "\n" for i, text in enumerate(helpers)
        )
        self.source += write_function(generator)
        self.space = {
            "np": np, "__name__": f"random_program_{seed}",
            "K": 0.8, "N": 2, "FLAG": True, "TABLE": [0.5, 1.5], "W": np.ones(3),
        }  # fmt: skip
        exec(compile(self.source, f"<random program {seed}>", "exec"), self.space)
        self.space["OBJ"] = self.space["Layer"](1.25)
        self.space["CONF"] = {"k": 0.9, "f": np.tanh}
        self.length, self.ndim, self.dtype = 3, 1, np.float64
        self.structure: Callable = lambda v: v
        self.log: list[str] = []
        self.arrays()

    # ---- arguments

    def arrays(self):
        """New arguments of the present shape and dtype, and W to fit."""
        shape = (self.length,) if self.ndim == 1 else (2, self.length)
        pool = np.random.default_rng(int(self.generator.integers(3)))
        self.x, self.y = (pool.standard_normal(shape).astype(self.dtype) for _ in range(2))
        if self.space["W"].shape != (self.length,):
            self.space["W"] = pool.standard_normal(self.length)

    def arguments(self) -> tuple:
        """(x, y) as they are passed now."""
        return self.x, self.structure(self.y)

    # ---- changes

    def change(self) -> None:
        """Alter one thing."""
        changes = [name for name in dir(self) if name.startswith("alter_")]
        name = changes[int(self.generator.integers(len(changes)))]
        getattr(self, name)()
        self.log.append(name.removeprefix("alter_"))

    def draw(self, options=NUMBERS):
        return options[int(self.generator.integers(len(options)))]

    def alter_data(self):
        self.arrays()

    def alter_data_in_place(self):
        self.x[..., 0] = self.draw()

    def alter_shape(self):
        self.length, self.ndim = self.draw((1, 2, 3)), self.draw((1, 1, 2))
        self.arrays()

    def alter_dtype(self):
        self.dtype = self.draw((np.float64, np.float32))
        self.arrays()

    def alter_layout(self):
        self.x = self.draw(
            (self.x[..., ::-1], np.asfortranarray(self.x), self.x.copy(),
             np.repeat(self.x, 2, -1)[..., ::2])
        )  # fmt: skip

    def alter_aliasing(self):
        self.y = self.draw((self.x, self.x[..., ::-1], self.x[..., :1], self.y.copy()))

    def alter_captured_alias(self):
        if self.ndim == 1 and self.dtype is np.float64:
            self.x = self.space["W"]

    def alter_structure(self):
        self.structure = self.draw(
            (lambda v: v, lambda v: {"a": v}, lambda v: (v, 1.0), lambda v: 0.75,
             lambda v: {"b": 1.0, "a": v}, lambda v: 2, lambda v: np.float32(0.5))
        )  # fmt: skip

    def alter_number(self):
        self.space["K"] = self.draw()

    def alter_count(self):
        self.space["N"] = self.draw((0, 1, 2, 3))

    def alter_flag(self):
        self.space["FLAG"] = self.draw((True, False, 1))

    def alter_list_item(self):
        self.space["TABLE"][0] = self.draw()

    def alter_list_length(self):
        table = self.space["TABLE"]
        if len(table) > 2:
            table.pop()
        else:
            table.append(self.draw())

    def alter_list(self):
        self.space["TABLE"] = [self.draw() for _ in range(2)]

    def alter_dict_item(self):
        self.space["CONF"]["k"] = self.draw()

    def alter_dict_function(self):
        self.space["CONF"]["f"] = self.draw((np.tanh, np.sin, self.space["h0"]))

    def alter_dict_keys(self):
        conf = self.space["CONF"]
        if "extra" in conf:
            del conf["extra"]
        else:
            conf["extra"] = 1.0

    def alter_dict_order(self):
        conf = self.space["CONF"]
        conf["k"] = conf.pop("k")

    def alter_attribute(self):
        self.space["OBJ"].k = self.draw()

    def alter_weight(self):
        self.space["OBJ"].w = self.draw((1.25, -0.5, self.space["W"], np.float64(2.0)))

    def alter_class_attribute(self):
        self.space["Layer"].slope = self.draw()

    def alter_class(self):
        self.space["OBJ"].__class__ = self.draw((self.space["Layer"], self.space["Other"]))

    def alter_method(self):
        space = dict(self.space)
        exec(self.draw(("def apply(self, v): return v * self.w", MODULE)), space)
        self.space["Layer"].apply = space.get("apply", space["Layer"].apply)

    def alter_array_in_place(self):
        self.space["W"][int(self.generator.integers(self.length))] = self.draw()

    def alter_array(self):
        self.space["W"] = self.draw(
            (self.space["W"].copy(), self.space["W"][::-1], -self.space["W"])
        )

    def alter_array_dtype(self):
        self.space["W"] = self.space["W"].astype(self.draw((np.float64, np.float32)))

    def alter_helper(self):
        exec(self.draw(HELPERS).format(name="h1"), self.space)

    def alter_helper_code(self):
        space = dict(self.space)
        exec(self.draw(HELPERS).format(name="other"), space)
        if space["other"].__kwdefaults__ is None and self.space["h0"].__kwdefaults__ is None:
            self.space["h0"].__code__ = space["other"].__code__

    def alter_default(self):
        self.space["f"].__defaults__ = (self.draw(),)

    def alter_closure(self):
        self.space["put"](self.draw())

    # ---- answers

    @property
    def function(self) -> types.FunctionType:
        """The program."""
        return self.space["f"]
