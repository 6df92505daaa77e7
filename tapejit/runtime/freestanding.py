"""Self-contained code: a function's paths as one LLVM module with one C function in it.

What `kernels` and `launcher` make for the process that records, this makes for anybody: the text
names no address, no object and no symbol but its own (of libc, memcpy and memset at most, and of
libm what users' functions call that Numba compiled), so it can be linked into a Numba function and
its disk cache, written to an object file, or loaded and called through a pointer.  Sizes, and what
the function read from outside, are constants in it.

    int32_t tj_HASH(const void *x0, ..., void *y0, ..., void *work, int64_t work_bytes)

    0    done
    k    no path fits: a guard of the last one did not hold, `failures[k - 1]` says which
    -1   `work` is smaller than `work_bytes` in the record
    -2   a loop refused: a place outside of an array, numbers that make no answer

One pointer for each argument and each answer, row-major, answers apart from each other and from
all else; they are written only if a path's guards hold.  The code is reentrant, takes no lock,
starts no thread and allocates nothing.

Steps are printed with their sizes (codegen/static_ir.py), products without a BLAS.  What only
NumPy or SciPy can do is refused.

Start at `freestanding`.  Which paths there are, and how arguments and answers are nested, is not
known here: `transforms.native`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tapejit.codegen import callees, tiles, vectormath
from tapejit.codegen.loop_functions import Natives, emit_loop_functions
from tapejit.codegen.static_ir import emit_static
from tapejit.errors import KernelError
from tapejit.plan import (
    KernelStep,
    LibraryStep,
    LoopKernel,
    LoopStep,
    Node,
    Operand,
    Output,
    Plan,
    RowStep,
    View,
)
from tapejit.runtime import blas, loops, native
from tapejit.runtime.known_places import Placed, fold
from tapejit.schedule.loops import copy_step
from tapejit.schedule.memory import Block, lay_out
from tapejit.schedule.planner import schedule
from tapejit.schedule.views import contiguous
from tapejit.simplify import simplify
from tapejit.tape import Program

WORK_TOO_SMALL, REFUSED = -1, -2

ON_STACK = 1 << 13
"""Bytes of temporaries that lie on the caller's stack; more are asked for as `work`."""

INLINED = 1500
"""Instructions, about, up to which everything becomes one function."""

INLINED_CALLS = 24
"""Calls of vector mathematics up to which it may be inlined: 100 sines take LLVM 4 s."""

MAX_CAPTURED = 1 << 22
"""Bytes of outside arrays that may be written into a module."""

# ---------------------------------------------------------------- data


class PathCode(NamedTuple):
    """One recorded path, ready to be printed."""

    program: Program
    """What is returned; inputs are the arguments, then the captures."""
    outputs: tuple[int | np.ndarray, ...]
    """Per answer, which output of the program; or what it always is."""
    captures: tuple[np.ndarray, ...]
    guards: Program | None
    """What Python read while recording, of the same inputs."""
    expected: tuple[np.ndarray, ...]
    reasons: tuple[str, ...]
    """Per guard, what to say when it does not hold."""


class Freestanding(NamedTuple):
    """A module with one function."""

    text: str
    symbol: str
    inputs: tuple[tuple[np.dtype, tuple[int, ...]], ...]
    outputs: tuple[tuple[np.dtype, tuple[int, ...]], ...]
    work_bytes: int
    failures: tuple[str, ...]
    """What a positive status says: number k is failures[k - 1]."""
    tier: int
    """Of native.compile_object: how much work this text is worth."""


def freestanding(
    paths: Sequence[PathCode],
    inputs: Sequence[tuple[np.dtype, tuple[int, ...]]],
    outputs: Sequence[tuple[np.dtype, tuple[int, ...]]],
    target: native.Host | None = None,
) -> Freestanding:
    """One module for these paths, which are tried in order.

    target  the machine whose vectors and instructions may be used; this one unless given
    Errors  KernelError naming the operation that has no native form
    """
    module = _Module(target or native.host(), inputs, outputs)
    for path in paths:
        module.add_path(path)
    return module.whole()


# ---------------------------------------------------------------- the module


class _Module:
    """Functions and constants, gathered path by path."""

    def __init__(self, target, inputs, outputs):
        self.target, self.inputs, self.outputs = target, tuple(inputs), tuple(outputs)
        self.functions: list[str] = []
        self.constants: dict[bytes, str] = {}
        self.calls: dict[tuple[str, str, int], None] = {}
        self.tiles: dict[str, None] = {}
        self.body: list[str] = []
        self.failures: list[str] = []
        self.arena_bytes = 0
        self.weight = 0
        self.count = 0

    def fresh(self) -> int:
        self.count += 1
        return self.count

    def constant(self, array: np.ndarray) -> str:
        """A global with these numbers."""
        data = np.ascontiguousarray(array).tobytes()
        if len(data) > MAX_CAPTURED:
            raise KernelError(
                f"native: the function reads an array of {len(data)} bytes from outside\n"
                f"  got  {array.dtype}{list(array.shape)}; up to {MAX_CAPTURED} bytes are written "
                "into the code\n  try  passing it as an argument"
            )
        return self.constants.setdefault(data, f"@c{len(self.constants)}")

    # ------------------------------------------------------------ paths

    def add_path(self, path: PathCode):
        """Test the guards; if they hold, run and return."""
        inputs = [f"%x{i}" for i in range(len(self.inputs))]
        inputs += [self.constant(array) for array in path.captures]
        following = self.fresh()
        if path.guards is not None:
            self.test(path, inputs, f"%other{following}", f"other{following}")
        self.run(path, inputs)
        self.body.append(f"other{following}:\n")

    def test(self, path, inputs, other, label):
        """Go to `other` with the number of the guard that does not hold."""
        slots = []
        for value in path.expected:
            slots.append(f"%g{self.fresh()}")
            self.body.append(f"{slots[-1]} = alloca [{max(value.nbytes, 1)} x i8], align 64\n")
        status, n = self.call(path.guards, inputs, slots, path.captures), self.fresh()
        self.body.append(  # a place computed on a branch that this call would not take
            f"%can{n} = icmp eq i64 {status}, 0\nbr i1 %can{n}, label %try{n}, label {other}\n"
            f"try{n}:\n"
        )
        for slot, value, reason in zip(slots, path.expected, path.reasons, strict=True):
            n = self.fresh()
            self.failures.append(reason)
            same = self.same(slot, value)
            self.body.append(
                f"store i32 {len(self.failures)}, ptr %failed\n"
                f"br i1 {same}, label %hold{n}, label {other}\nhold{n}:\n"
            )

    def same(self, slot, value):
        """Whether memory holds this number, or these, bit for bit."""
        size = value.itemsize
        if size not in (1, 2, 4, 8) or value.size > 64:
            raise KernelError(
                f"native: the function reads {value.dtype}{list(value.shape)} of its arguments "
                "while it runs\n  try  reading single numbers"
            )
        bits, verdict = f"i{8 * size}", "true"
        for i, number in enumerate(value.reshape(-1).view(f"i{size}").tolist()):
            n = self.fresh()
            self.body.append(
                f"%a{n} = getelementptr {bits}, ptr {slot}, i64 {i}\n"
                f"%l{n} = load {bits}, ptr %a{n}\n%e{n} = icmp eq {bits} %l{n}, {number}\n"
                f"%v{n} = and i1 {verdict}, %e{n}\n"
            )
            verdict = f"%v{n}"
        return verdict

    def run(self, path, inputs):
        """Compute the answers and return."""
        targets: list[str] = [""] * len(path.program.outputs)
        for i, what in enumerate(path.outputs):
            if not isinstance(what, int):
                source = self.constant(what)
                self.body.append(_copied(f"%y{i}", source, what.nbytes))
            else:
                targets[what] = f"%y{i}"
        status = self.call(path.program, inputs, targets, path.captures)
        n = self.fresh()
        self.body.append(
            f"%ok{n} = icmp eq i64 {status}, 0\n"
            f"%r{n} = select i1 %ok{n}, i32 0, i32 {REFUSED}\nret i32 %r{n}\n"
        )

    def call(self, program, inputs, outputs, captures):
        """Call a program's function; its status."""
        plan = schedule(simplify(program), alone=True)
        name, n = f"p{self.fresh()}", self.fresh()
        known = dict(enumerate(captures, len(inputs) - len(captures)))
        printer = _PlanPrinter(self, plan, name, known)
        self.functions.append(printer.text())
        self.arena_bytes = max(self.arena_bytes, printer.arena_bytes)
        pointers = ", ".join(f"ptr {value}" for value in (*inputs, *outputs, "%arena"))
        self.body.append(f"%s{n} = call i64 @{name}({pointers})\n")
        return f"%s{n}"

    # ------------------------------------------------------------ the whole

    def whole(self) -> Freestanding:
        is_small = self.weight <= INLINED
        text = self.text(is_small)
        symbol = f"tj_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        work = 0 if self.arena_bytes <= ON_STACK else self.arena_bytes
        tier = 4 if is_small else 1 if self.weight < 20_000 else 0
        return Freestanding(
            text.replace("@tj_function(", f"@{symbol}("), symbol, self.inputs, self.outputs, work,
            tuple(self.failures), tier,
        )  # fmt: skip

    def text(self, is_small):
        parameters = [f"ptr %x{i}" for i in range(len(self.inputs))]
        parameters += [f"ptr %y{i}" for i in range(len(self.outputs))]
        parameters += ["ptr %work", "i64 %work_bytes"]
        if self.arena_bytes <= ON_STACK:
            arena = f"%arena = alloca [{max(self.arena_bytes, 1)} x i8], align 64\n"
        else:
            arena = (
                f"%is_enough = icmp sge i64 %work_bytes, {self.arena_bytes}\n"
                f"br i1 %is_enough, label %enter, label %small\nsmall:\nret i32 {WORK_TOO_SMALL}\n"
                "enter:\n%arena = getelementptr i8, ptr %work, i64 0\n"
            )
        last = "%last = load i32, ptr %failed\nret i32 %last\n"
        main = (
            f"define i32 @tj_function({', '.join(parameters)}) nounwind"
            f"{' alwaysinline' if is_small else ''} {{\n%failed = alloca i32\n"
            f"store i32 {REFUSED}, ptr %failed\n{arena}{''.join(self.body)}{last}}}\n"
        )
        functions = self.functions
        if is_small:
            functions = [
                text.replace("nounwind {", "nounwind alwaysinline {", 1) for text in functions
            ]
        constants = [
            f'{name} = private unnamed_addr constant [{len(data)} x i8] c"{_escaped(data)}", '
            "align 64\n"
            for data, name in self.constants.items()
        ]
        math = callees.emit_library(self.calls, self.target.has_fma)
        if sum(text.count("@tj_") for text in functions) > INLINED_CALLS:
            pure = f"{vectormath.ATTRIBUTES} {{"
            math = math.replace(f" {pure}", f" noinline {pure}")
        parts = [math, *(self.tile_text(dtype) for dtype in self.tiles), *functions, main]
        return _module_of("".join(constants), "\n".join(parts))

    def tile_text(self, dtype):
        if not self.target.has_fma:
            raise KernelError("native: convolutions need a processor with fused multiply-add")
        real = {"f64": "double", "f32": "float"}[dtype]
        return tiles.emit_tiles(real, blas.vector_bytes(self.target))


def _escaped(data: bytes) -> str:
    """Bytes as LLVM writes a string."""
    return data.hex("\\", 1).join(("\\", "")) if data else ""


_DEFINED = re.compile(r"^define [^@\n]*@([\w.]+)\(", re.MULTILINE)


def _module_of(constants, text):
    """One text: each declaration once, none of what is defined, all functions but one internal."""
    defined, declarations, lines = set(_DEFINED.findall(text)), {}, []
    for line in text.splitlines():
        if line.startswith("declare "):
            name = line[line.index("@") + 1 : line.index("(", line.index("@"))]
            if name not in defined:
                declarations.setdefault(name, line)
        elif line.startswith("define ") and "@tj_function(" not in line:
            lines.append("define internal " + line[7:].removeprefix("internal "))
        else:
            lines.append(line)
    memcpy = "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"
    declarations.setdefault("llvm.memcpy.p0.p0.i64", memcpy)
    return "\n".join([*declarations.values(), constants, *lines, ""])


# ---------------------------------------------------------------- a plan


class _PlanPrinter:
    """`i64 @NAME(inputs..., outputs..., arena)`: 0, or 1 where a loop refused."""

    def __init__(self, module: _Module, plan: Plan, name: str, known: dict[int, np.ndarray]):
        self.module, self.plan, self.name = module, plan, name
        self.lines: list[str] = ["%refused = alloca i64\nstore i64 0, ptr %refused\n"]
        self.arena_bytes = 0
        steps = [_native(step) for step in plan.steps if _has_work(step)]
        kept = {result.view.buffer for result in plan.results}
        self.steps = fold(steps, plan.buffers, kept, known)
        self.base: dict[int, str] = {}
        self.scratch: list[list[int]] = [[] for _ in self.steps]

    def text(self) -> str:
        self.place()
        for number, step in enumerate(self.steps):
            if isinstance(step, LoopStep):
                self.loop(number, step)
            elif isinstance(step, LibraryStep):
                self.of_nothing(step)
            else:
                self.kernel(step)
        for i, result in enumerate(self.plan.results):
            if not result.is_owned:
                self.copy(result.view, f"%y{i}")
        parameters = [f"ptr %x{i}" for i in range(self.plan.n_inputs)]
        parameters += [f"ptr %y{i}" for i in range(len(self.plan.results))]
        return (
            f"define internal i64 @{self.name}({', '.join([*parameters, 'ptr %t'])}) nounwind {{\n"
            f"{''.join(self.lines)}%status = load i64, ptr %refused\nret i64 %status\n}}\n"
        )

    # ------------------------------------------------------------ memory

    def place(self):
        """Where each buffer lies: with the caller, in the module, or in the arena."""
        plan = self.plan
        for i, result in enumerate(plan.results):
            if result.is_owned:
                self.base[result.view.buffer] = f"%y{i}"
        for buffer, record in enumerate(plan.buffers):
            if not record.dtype.kernel:
                raise KernelError(
                    f"native: {record.dtype} has no native form\n"
                    "  try  float64, float32, int64, int32 or bool"
                )
            if record.role == "input":
                self.base[buffer] = f"%x{record.number}"
            elif record.role == "constant":
                self.base[buffer] = self.module.constant(self.constant(record))
        self.place_temporaries()

    def constant(self, record):
        """Row-major numbers; one is enough where all strides are 0, but loops may want all."""
        return np.full(record.shape, record.number, record.dtype.dtype)

    def place_temporaries(self):
        first, last = {}, {}
        for number, step in enumerate(self.steps):
            written = [step.buffer] if isinstance(step, LibraryStep) else []
            for buffer in (*(view.buffer for view in step.views), *written):
                first.setdefault(buffer, number)
                last[buffer] = number
        for result in self.plan.results:
            last[result.view.buffer] = len(self.steps)
        blocks, owners = [], []
        for buffer, begin in first.items():
            if buffer not in self.base:
                record = self.plan.buffers[buffer]
                size = record.dtype.itemsize * math.prod(record.shape)
                blocks.append(Block(size, begin, last[buffer]))
                owners.append(buffer)
        for number, step in enumerate(self.steps):
            if isinstance(step, LoopStep):
                for dtype, n in step.work.scratch:
                    blocks.append(
                        Block({"f64": 8, "i64": 8, "bool": 1}.get(dtype, 4) * n, number, number)
                    )
                    owners.append(~number)
        offsets, self.arena_bytes = lay_out(blocks)
        for owner, offset in zip(owners, offsets, strict=True):
            if owner >= 0:
                self.base[owner] = self.value(f"getelementptr i8, ptr %t, i64 {offset}")
            else:
                self.scratch[~owner].append(offset)

    def value(self, text):
        name = f"%b{self.module.fresh()}"
        self.lines.append(f"{name} = {text}\n")
        return name

    def pointer(self, view: View) -> str:
        """Where a view's first element lies."""
        base = self.base[view.buffer]
        n_bytes = view.offset * self.plan.buffers[view.buffer].dtype.itemsize
        return self.value(f"getelementptr i8, ptr {base}, i64 {n_bytes}") if n_bytes else base

    # ------------------------------------------------------------ steps

    def kernel(self, step, pointers=None):
        module = self.module
        name, places = f"s{module.fresh()}", {}
        if isinstance(step, Placed):
            step, places = step
        sizes = {k: math.prod(self.plan.buffers[step.views[k].buffer].shape) for k in places}
        printed = emit_static(step, name, sizes)
        module.functions.append("".join(printed.declarations) + printed.ir)
        module.calls.update(dict.fromkeys(printed.imports))
        module.weight += printed.weight
        pointers = pointers or [self.pointer(view) for view in step.views]
        pointers += [module.constant(found) for found in places.values()]
        self.lines.append(f"call void @{name}({', '.join(f'ptr {p}' for p in pointers)})\n")

    def of_nothing(self, step: LibraryStep):
        """What an operation gives for empty operands is a constant."""
        empty = [np.empty(v.shape, self.plan.buffers[v.buffer].dtype.dtype) for v in step.views]
        aval = step.kind.aval
        value = step.kind.op.evaluate(*empty, **step.kind.attributes())
        value = np.array(value, aval.dtype.dtype).reshape(aval.shape)
        target = self.pointer(View(step.buffer, 0, aval.shape, contiguous(aval.shape)))
        self.lines.append(_copied(target, self.module.constant(value), value.nbytes))

    def copy(self, view: View, target: str):
        """A result that is memory of something else, in memory of its own."""
        dtype = self.plan.buffers[view.buffer].dtype.kernel
        if math.prod(view.shape):
            self.kernel(copy_step(view, dtype, view.buffer), [self.pointer(view), target])

    def loop(self, number, step: LoopStep):
        """An operation's own loop: its args and its meta in memory."""
        work, module = step.work, self.module
        assert callable(work.run)
        result = step.dtypes[len(step.views) - 1]
        pointers = [self.pointer(view) for view in step.views]
        pointers += [self.value(f"getelementptr i8, ptr %t, i64 {o}") for o in self.scratch[number]]
        if step.loop.has_status:
            pointers.append("%refused")
        args = self.value(f"alloca [{len(pointers)} x ptr]")
        for i, pointer in enumerate(pointers):
            at = self.value(f"getelementptr ptr, ptr {args}, i64 {i}")
            self.lines.append(f"store ptr {pointer}, ptr {at}\n")
        meta = module.constant(np.array(work.meta, np.int64))
        for function, units in ((work.run, f", i64 0, i64 {work.units}"), (work.finish, "")):
            if function is not None:
                name = self.loop_function(function, step.dtypes, result, bool(units))
                self.lines.append(f"call void @{name}(ptr {args}, ptr {meta}{units})\n")

    def loop_function(self, function, dtypes, result, has_units):
        """Print an operation's loop under names of its own."""
        module = self.module
        name = f"l{module.fresh()}"
        natives = Natives(loops.is_tile, lambda tile: tiles.symbol(tile.__name__, result))
        if loops.tiles_of(function):
            module.tiles[result] = None
        module.calls.update(dict.fromkeys(loops.calls_of(function)))
        text = emit_loop_functions(
            name, function, dtypes, result in ("f64", "f32"), natives, has_units
        )
        inner = [own for own in _DEFINED.findall(text) if own != name]
        for own in inner:
            text = text.replace(f"@{own}(", f"@{name}.{own}(")
        module.functions.append(text)
        module.weight += len(text) // 40
        return name


def _has_work(step):
    """Whether a step writes anything."""
    if isinstance(step, KernelStep | RowStep):
        return True
    return step.kind.aval.size > 0


def _copied(target, source, n_bytes):
    """Text that copies memory."""
    return (
        f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {n_bytes}, i1 false)\n"
    )


def _native(step):
    """A step that can be printed, in place of one that calls a library."""
    if isinstance(step, KernelStep | RowStep):
        return step
    if step.kind.op.name == "matmul":
        views = step.views
        if isinstance(step, LibraryStep):
            shape = step.kind.aval.shape
            views = (*views, View(step.buffer, 0, shape, contiguous(shape)))
        return _product(views, step.kind.aval.dtype.kernel)
    if isinstance(step, LoopStep) and callable(step.work.run):
        return step
    if isinstance(step, LibraryStep) and not any(math.prod(view.shape) for view in step.views):
        return step
    if step.kind.op.name == "linked" and (why := step.kind.attrs[0].unfused):
        raise KernelError(
            f"native: {step.kind.attrs[0].name} cannot be called by native code: {why}\n"
            f"  got  {step.kind}\n  try  a function of numbers that raises and makes nothing, or "
            "computing it outside and passing it as an argument"
        )
    raise KernelError(
        f"native: {step.kind.op.name} is done by NumPy or SciPy, and has no native form\n"
        f"  got  {step.kind}\n  try  computing it outside and passing it as an argument"
    )


def _product(views: tuple[View, ...], dtype: str) -> KernelStep:
    """x @ y as a loop: along rows of y where they lie so, else along both operands' k."""
    x, y, z = views
    xs, xd = (x.shape, x.strides) if len(x.shape) > 1 else ((1, *x.shape), (0, *x.strides))
    ys, yd = (y.shape, y.strides) if len(y.shape) > 1 else ((*y.shape, 1), (*y.strides, 0))
    zs, zd = list(z.shape), list(z.strides)
    if len(x.shape) == 1:
        place = len(zs) - (len(y.shape) > 1)
        zs.insert(place, 1)
        zd.insert(place, 0)
    if len(y.shape) == 1:
        zs, zd = [*zs, 1], [*zd, 0]
    batch = zs[:-2]

    def along(shape, strides):
        own = [0 if n == 1 else s for n, s in zip(shape[:-2], strides[:-2], strict=True)]
        return [0] * (len(batch) - len(own)) + own

    (m, k), n = xs[-2:], ys[-1]
    lengths = [*batch, m, k, n]
    walks = [
        [*along(xs, xd), xd[-2], xd[-1], 0],
        [*along(ys, yd), 0, yd[-2], yd[-1]],
        [*zd[:-2], zd[-2], 0, zd[-1]],
    ]
    if yd[-1] != 1 or n == 1:
        for axes in (lengths, *walks):
            axes[-2:] = axes[:-3:-1]
    operands = [Operand(dtype, "".join(map(_step, walk))) for walk in walks]
    nodes = (Node("load", dtype, (0,)), Node("load", dtype, (1,)), Node("mul", dtype, (0, 1)))
    kernel = LoopKernel(len(lengths), tuple(operands[:2]), nodes, (Output(2, operands[2], "sum"),))
    lying = [
        View(view.buffer, view.offset, tuple(lengths), tuple(walk))
        for view, walk in zip(views, walks, strict=True)
    ]
    return KernelStep(kernel, tuple(lengths), tuple(lying))


def _step(stride):
    return {0: "0", 1: "1"}.get(stride, "s")
