"""The tape interpreter as LLVM IR: one small native function per kind of row, no loop between them.

A *handler* does one row and jumps to the handler of the next (`musttail`: threaded code, so a CPU
predicts each row's jump by the row before it).  Handlers are made from the registry's own records:
the forward one from the value text, the reverse one from what `autodiff` records for a tape of
that one row.  So nothing is declared twice, and a handler has the bits of a kernel: the same
recipes, the same mathematics, one lane wide.

A row is 16 bytes, RECORD: the numbers of its handlers in two tables, and up to three slots that it
reads.  A slot is one number of the program's float dtype; truth is 1 or 0 in it.  Rows write
slots in order, so a result's slot is not stored.  `adjoints` has a slot for each slot of `values`;
one that nothing has been added to holds ABSENT, which is -0.0, and a reverse handler that finds it
does nothing: 0 times infinity never comes from rows or branches the result does not depend on.

    forward   void f(row, result, values, table)
    reverse   void r(row, result, adjoint of result, values, adjoints, table)

Start at `forward_handler` and `reverse_handler`; `emit_driver` begins and ends a run.  What decides
which programs run here, and lays them out, is runtime/interpreter.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tapejit import autodiff, registry
from tapejit.codegen.vector_ops import SCALAR, SIZE, constant, recipe
from tapejit.errors import KernelError
from tapejit.registry import OPS, Kind
from tapejit.schedule.templates import template
from tapejit.shapes import Aval
from tapejit.simplify import simplify
from tapejit.tape import Program, Tape, with_inputs

# ---------------------------------------------------------------- data

RECORD = np.dtype([("forward", "u2"), ("reverse", "u2"), ("operands", "i4", 3)])
MAX_OPERANDS = 3

ABSENT = {"f64": -(1 << 63), "f32": -(1 << 31)}
"""The bits of an adjoint slot to which nothing was added: -0.0, to which adding changes nothing."""


class Handler(NamedTuple):
    """The text of one native function, and the vector math that it calls."""

    ir: str
    declarations: tuple[str, ...]
    imports: tuple[tuple[str, str, int], ...]


# ---------------------------------------------------------------- handlers


def forward_handler(kind: Kind, avals: Sequence[Aval], dtype: str, name: str) -> Handler:
    """The function that computes a row of `kind` on operands of `avals`.

    Errors  KernelError if the row is more than one number, or kernels have no form of it
    """
    tape = _row_of(kind, avals)
    n = len(avals)
    program = simplify(Program(tape, range(n), (n,)))
    body = _Body(program, dtype)
    for i in range(n):
        body.load(f"o{i}", "%values", i, program.inputs[i])
    body.compute()
    result = body.in_slot(program.outputs[0])
    return body.function(
        name,
        "ptr %row, ptr %y, ptr %values, ptr %table",
        f"{''.join(body.lines)}store {body.wide} {result}, ptr %y\n"
        + _jump(0, RECORD.itemsize, SIZE[dtype], ("y",), "ptr %values, ptr %table"),
    )


def reverse_handler(
    kind: Kind, avals: Sequence[Aval], active: Sequence[int], dtype: str, name: str
) -> Handler:
    """The function that adds to the adjoints of the `active` operands of such a row."""
    tape, n = _row_of(kind, avals), len(avals)
    sweep = autodiff.reverse(tape, (n,), active, reuse=False)
    if kind.op is OPS["where"]:
        _leave_out_zeros(sweep.tape)
    wanted = [(i, row) for i, row in zip(active, sweep.results, strict=True) if row >= 0]
    given = [*range(n + 1), *sweep.seeds]
    program = simplify(Program(with_inputs(sweep.tape, [n]), given, [row for _, row in wanted]))
    body = _Body(program, dtype)
    for i in range(n):
        body.load(f"o{i}", "%values", i, program.inputs[i])
    body.load_from("result", "%y", program.inputs[n])
    body.names[program.inputs[n + 1]] = "%gy"
    body.compute()
    for (i, _), row in zip(wanted, program.outputs, strict=True):
        body.deposit(i, row)
    bits, absent = f"i{8 * SIZE[dtype]}", ABSENT[dtype]
    return body.function(
        name,
        "ptr %row, ptr %y, ptr %g, ptr %values, ptr %adjoints, ptr %table",
        f"%found = load {bits}, ptr %g\n"
        f"%none = icmp eq {bits} %found, {absent}\n"
        "br i1 %none, label %next, label %work\n"
        f"work:\n%gy = bitcast {bits} %found to {body.wide}\n"
        f"{''.join(body.lines)}br label %next\nnext:\n"
        + _jump(
            2, -RECORD.itemsize, -SIZE[dtype], ("y", "g"),
            "ptr %values, ptr %adjoints, ptr %table",
        ),
    )  # fmt: skip


def _leave_out_zeros(tape):
    """Give the branch that was not taken ABSENT in place of 0: then nothing multiplies it."""
    for row in range(len(tape)):
        kind = tape.kind(row)
        if kind.op.family == "literal" and kind.attrs[0] == 0.0:
            tape.kinds[row] = registry.kind(kind.op, (-0.0,), kind.aval).number


def _row_of(kind, avals):
    """A tape of inputs and one row on them."""
    tape = Tape()
    for value in avals:
        tape.append(registry.kind(OPS["input"], (), value), ())
    tape.append(kind, range(len(avals)))
    return tape


def _jump(place, row_step, slot_step, moving, others):
    """Text that goes on to the next row; its handler's number is `place` bytes into it."""
    moved = "".join(
        f"%next_{name} = getelementptr i8, ptr %{name}, i64 {slot_step}\n" for name in moving
    )
    arguments = ", ".join(["ptr %next_row", *(f"ptr %next_{name}" for name in moving), others])
    return (
        f"%next_row = getelementptr i8, ptr %row, i64 {row_step}\n{moved}"
        f"%number_at = getelementptr i8, ptr %next_row, i64 {place}\n"
        "%number = load i16, ptr %number_at\n%index = zext i16 %number to i64\n"
        "%handler_at = getelementptr ptr, ptr %table, i64 %index\n"
        "%handler = load ptr, ptr %handler_at\n"
        f"musttail call void %handler({arguments})\nret void\n"
    )


class _Body:
    """The instructions of one handler: a program of 0-d rows, one lane wide."""

    def __init__(self, program: Program, dtype: str):
        self.program, self.dtype = program, dtype
        self.element = SCALAR[dtype]
        self.wide, self.truth = f"<1 x {self.element}>", "<1 x i1>"
        self.lines: list[str] = []
        self.declarations: dict[str, None] = {}
        self.imports: dict[tuple, None] = {}
        self.names: dict[int, str] = {}
        self.used = {x for row in range(len(program.tape)) for x in program.tape.operands(row)}
        self.used.update(program.outputs)
        self.count = 0

    # ------------------------------------------------------------ what is read and written

    def load(self, name, base, operand, row):
        """The value of an input row, from the slot that the tape's row names."""
        if row in self.used:
            self.slot_address(name, base, operand)
            self.load_from(name, f"%{name}_at", row)

    def slot_address(self, name, base, operand):
        """The address of the slot of one operand, as %NAME_at."""
        self.lines.append(
            f"%{name}_n = getelementptr i8, ptr %row, i64 {4 + 4 * operand}\n"
            f"%{name}_s = load i32, ptr %{name}_n\n%{name}_w = zext i32 %{name}_s to i64\n"
            f"%{name}_at = getelementptr {self.element}, ptr {base}, i64 %{name}_w\n"
        )

    def load_from(self, name, address, row):
        if row not in self.used:
            return
        self.lines.append(f"%{name} = load {self.wide}, ptr {address}\n")
        self.names[row] = f"%{name}"
        if self.dtype_of(row) == "bool":
            self.lines.append(f"%{name}_b = fcmp une {self.wide} %{name}, zeroinitializer\n")
            self.names[row] = f"%{name}_b"

    def dtype_of(self, row):
        value = self.program.tape.kind(row).aval
        dtype = value.dtype.kernel
        if value.ndim or dtype not in (self.dtype, "bool"):
            raise KernelError(f"interpreter: a slot is one {self.dtype}, not {value}")
        return dtype

    def in_slot(self, row):
        """The name of a row's value as a slot holds it."""
        if self.dtype_of(row) != "bool":
            return self.names[row]
        self.lines.append(f"%slot = uitofp {self.truth} {self.names[row]} to {self.wide}\n")
        return "%slot"

    def deposit(self, operand, row):
        """Add a row's value to the adjoint of an operand."""
        name = f"d{operand}"
        self.slot_address(name, "%adjoints", operand)
        self.lines.append(
            f"%{name}_v = load {self.wide}, ptr %{name}_at\n"
            f"%{name}_a = fadd {self.wide} %{name}_v, {self.names[row]}\n"
            f"store {self.wide} %{name}_a, ptr %{name}_at\n"
        )

    # ------------------------------------------------------------ rows

    def compute(self):
        """All rows of the program, in order."""
        tape = self.program.tape
        for row in range(len(tape)):
            kind = tape.kind(row)
            if kind.op.family == "input":
                continue
            dtype = self.dtype_of(row)
            if kind.op.family == "literal":
                self.names[row] = self.literal(kind.attrs[0], dtype)
            else:
                self.names[row] = self.row(kind, tape.operands(row))

    def literal(self, number, dtype):
        return f"<{SCALAR[dtype]} {constant(number, dtype)}>"

    def row(self, kind, operands):
        """The nodes of an elementwise row; the name of the last."""
        avals = [self.program.tape.kind(x).aval for x in operands]
        found = template(kind, tuple(value.dtype for value in avals))
        if found is None:
            raise KernelError(f"interpreter: no handler for {kind}")
        values = [(self.names[x], self.dtype_of(x)) for x in operands]
        for fn, dtype, parts, *_ in found.steps:
            if fn == "literal":
                values.append((self.literal(parts[0], dtype), dtype))
            else:
                names = [values[part][0] for part in parts]
                values.append((self.node(fn, dtype, values[parts[-1]][1], names), dtype))
        return values[found.result][0]

    def node(self, fn, dtype, source, names):
        made = recipe(fn, dtype, source, 1)
        self.declarations.update(dict.fromkeys(made.declarations))
        if made.call is not None:
            self.imports[made.call] = None
        self.count += 1
        self.lines.append(made.text.format(self.count, *names))
        return f"%v{self.count}"

    def function(self, name, parameters, text) -> Handler:
        ir = f"define void @{name}({parameters}) nounwind {{\n{text}}}\n"
        return Handler(ir, tuple(self.declarations), tuple(self.imports))


# ---------------------------------------------------------------- the driver


def emit_driver(dtype: str) -> str:
    """The module of a run's beginning and end: DRIVER_NAMES, for slots of `dtype`.

    `interpret` has a kernel's machine interface (plan.py).  args: the inputs, the outputs, seeds,
    values, adjoints.  meta, int64:

        number of inputs | of outputs | address of the first row, its forward table, its reverse
        table | slot of the first row's result | number of slots | row from which the reverse
        sweep starts | 1: the forward pass, 2: the reverse sweep, 3: both | number of seeds, and
        the address of their slots (int32) | per input its first slot and length | per output 0
        for values, 1 for adjoints, the address of its slots (int32), and length
    """
    wide = f"<8 x i{8 * SIZE[dtype]}>"
    names = {
        "T": SCALAR[dtype], "B": f"i{8 * SIZE[dtype]}", "ABSENT": str(ABSENT[dtype]),
        "ROW": str(RECORD.itemsize), "W": wide,
        "EIGHT_ABSENT": f"splat (i{8 * SIZE[dtype]} {ABSENT[dtype]})",
    }  # fmt: skip
    text = _DRIVER
    for name, value in names.items():
        text = text.replace(f"${name}$", value)
    return text


DRIVER_NAMES = ("interpret", "stop_forward", "stop_reverse")


def _loop(name, parameters, body, step=1):
    """A function that does `body` for i = 0, step, ... while `step` of n are left; i at the end."""
    return f"""
define internal i64 @{name}({parameters}) nounwind {{
begin:
  br label %head
head:
  %i = phi i64 [0, %begin], [%next, %body]
  %next = add i64 %i, {step}
  %more = icmp sle i64 %next, %n
  br i1 %more, label %body, label %end
body:
{body}  br label %head
end:
  ret i64 %i
}}
"""


_LOOPS = (
    _loop(
        "copy_in",
        "ptr %from, ptr %to, i64 %n",
        """\
  %from_at = getelementptr $T$, ptr %from, i64 %i
  %value = load $T$, ptr %from_at
  %to_at = getelementptr $T$, ptr %to, i64 %i
  store $T$ %value, ptr %to_at
""",
    )
    + _loop(
        "copy_out",
        "ptr %slots, ptr %numbers, ptr %to, i64 %n, i1 %is_adjoint",
        """\
  %number_at = getelementptr i32, ptr %numbers, i64 %i
  %number = load i32, ptr %number_at
  %wide = zext i32 %number to i64
  %from_at = getelementptr $B$, ptr %slots, i64 %wide
  %found = load $B$, ptr %from_at
  %absent = icmp eq $B$ %found, $ABSENT$
  %zero_or_found = select i1 %absent, $B$ 0, $B$ %found
  %value = select i1 %is_adjoint, $B$ %zero_or_found, $B$ %found
  %to_at = getelementptr $B$, ptr %to, i64 %i
  store $B$ %value, ptr %to_at
""",
    )
    + _loop(
        "clear_eights",
        "ptr %adjoints, i64 %n",
        """\
  %at = getelementptr $B$, ptr %adjoints, i64 %i
  store $W$ $EIGHT_ABSENT$, ptr %at, align 1
""",
        step=8,
    )
    + _loop(
        "clear",
        "ptr %adjoints, i64 %n",
        """\
  %at = getelementptr $B$, ptr %adjoints, i64 %i
  store $B$ $ABSENT$, ptr %at
""",
    )
    + _loop(
        "sow",
        "ptr %seeds, ptr %numbers, ptr %adjoints, i64 %n",
        """\
  %number_at = getelementptr i32, ptr %numbers, i64 %i
  %number = load i32, ptr %number_at
  %wide = zext i32 %number to i64
  %seed_at = getelementptr $T$, ptr %seeds, i64 %i
  %seed = load $T$, ptr %seed_at
  %to_at = getelementptr $T$, ptr %adjoints, i64 %wide
  %before = load $T$, ptr %to_at
  %after = fadd $T$ %before, %seed
  store $T$ %after, ptr %to_at
""",
    )
)


def _fields(names):
    """Text that loads the first numbers of `meta`, each under its name."""
    return "".join(
        f"  %{name}_at = getelementptr i64, ptr %meta, i64 {i}\n"
        f"  %{name} = load {kind}, ptr %{name}_at\n"
        for i, (name, kind) in enumerate(names)
    )


_META = _fields(
    [(name, "i64") for name in ("inputs", "outputs")]
    + [(name, "ptr") for name in ("rows", "forward", "reverse")]
    + [(name, "i64") for name in ("first", "slots", "last", "passes", "seeded")]
    + [("seed_slots", "ptr")]
)

_DRIVER = f"""
define void @stop_forward(ptr %row, ptr %y, ptr %values, ptr %table) nounwind {{
ret void
}}
define void @stop_reverse(
  ptr %row, ptr %y, ptr %g, ptr %values, ptr %adjoints, ptr %table) nounwind {{
ret void
}}
{_LOOPS}
define void @interpret(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind {{
start:
{_META}  %in_meta = getelementptr i64, ptr %meta, i64 11
  %out_args = getelementptr ptr, ptr %args, i64 %inputs
  %seeds_at = getelementptr ptr, ptr %out_args, i64 %outputs
  %seeds = load ptr, ptr %seeds_at
  %values_at = getelementptr ptr, ptr %seeds_at, i64 1
  %values = load ptr, ptr %values_at
  %adjoints_at = getelementptr ptr, ptr %seeds_at, i64 2
  %adjoints = load ptr, ptr %adjoints_at
  br label %in_head
in_head:
  %i = phi i64 [0, %start], [%i_next, %in_body]
  %in_more = icmp slt i64 %i, %inputs
  br i1 %in_more, label %in_body, label %run
in_body:
  %in_2i = mul i64 %i, 2
  %in_slot_at = getelementptr i64, ptr %in_meta, i64 %in_2i
  %in_slot = load i64, ptr %in_slot_at
  %in_n_at = getelementptr i64, ptr %in_slot_at, i64 1
  %in_n = load i64, ptr %in_n_at
  %in_from_at = getelementptr ptr, ptr %args, i64 %i
  %in_from = load ptr, ptr %in_from_at
  %in_to = getelementptr $T$, ptr %values, i64 %in_slot
  %copied = call i64 @copy_in(ptr %in_from, ptr %in_to, i64 %in_n)
  %i_next = add i64 %i, 1
  br label %in_head
run:
  %forward_bit = and i64 %passes, 1
  %wants_forward = icmp ne i64 %forward_bit, 0
  br i1 %wants_forward, label %go_forward, label %turn
go_forward:
  %y0 = getelementptr $T$, ptr %values, i64 %first
  %f_number = load i16, ptr %rows
  %f_index = zext i16 %f_number to i64
  %f_at = getelementptr ptr, ptr %forward, i64 %f_index
  %f = load ptr, ptr %f_at
  call void %f(ptr %rows, ptr %y0, ptr %values, ptr %forward)
  br label %turn
turn:
  %reverse_bit = and i64 %passes, 2
  %wants_reverse = icmp ne i64 %reverse_bit, 0
  br i1 %wants_reverse, label %go_reverse, label %out
go_reverse:
  %cleared = call i64 @clear_eights(ptr %adjoints, i64 %slots)
  %rest_at = getelementptr $T$, ptr %adjoints, i64 %cleared
  %rest = sub i64 %slots, %cleared
  %all = call i64 @clear(ptr %rest_at, i64 %rest)
  %sown = call i64 @sow(ptr %seeds, ptr %seed_slots, ptr %adjoints, i64 %seeded)
  %r_bytes = mul i64 %last, $ROW$
  %r_row = getelementptr i8, ptr %rows, i64 %r_bytes
  %r_slot = add i64 %first, %last
  %r_y = getelementptr $T$, ptr %values, i64 %r_slot
  %r_g = getelementptr $T$, ptr %adjoints, i64 %r_slot
  %r_number_at = getelementptr i8, ptr %r_row, i64 2
  %r_number = load i16, ptr %r_number_at
  %r_index = zext i16 %r_number to i64
  %r_at = getelementptr ptr, ptr %reverse, i64 %r_index
  %r = load ptr, ptr %r_at
  call void %r(ptr %r_row, ptr %r_y, ptr %r_g, ptr %values, ptr %adjoints, ptr %reverse)
  br label %out
out:
  %in_numbers = mul i64 %inputs, 2
  %out_meta = getelementptr i64, ptr %in_meta, i64 %in_numbers
  br label %out_head
out_head:
  %j = phi i64 [0, %out], [%j_next, %out_body]
  %out_more = icmp slt i64 %j, %outputs
  br i1 %out_more, label %out_body, label %done
out_body:
  %out_3j = mul i64 %j, 3
  %out_of_at = getelementptr i64, ptr %out_meta, i64 %out_3j
  %out_of = load i64, ptr %out_of_at
  %out_numbers_at = getelementptr i64, ptr %out_of_at, i64 1
  %out_numbers = load ptr, ptr %out_numbers_at
  %out_n_at = getelementptr i64, ptr %out_of_at, i64 2
  %out_n = load i64, ptr %out_n_at
  %is_adjoint = icmp ne i64 %out_of, 0
  %out_slots = select i1 %is_adjoint, ptr %adjoints, ptr %values
  %out_to_at = getelementptr ptr, ptr %out_args, i64 %j
  %out_to = load ptr, ptr %out_to_at
  %gathered = call i64 @copy_out(
    ptr %out_slots, ptr %out_numbers, ptr %out_to, i64 %out_n, i1 %is_adjoint)
  %j_next = add i64 %j, 1
  br label %out_head
done:
  ret void
}}
"""
