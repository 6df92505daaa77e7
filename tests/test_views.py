"""Random programs of views, changes in place and backward: what torch gives, and what it refuses.

A program is lines of text over a leaf `x`, a leaf `w` and a constant `c`; its shapes are found by
running it on plain tensors.  Both libraries run it line by line; where torch raises, so must we,
at the same line; else every value and every gradient must agree.

TAPEJIT_FUZZ  multiplies the number of programs (default 1: 200)
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from oracle import differences, run

import tapejit as tj

FUZZ = int(os.environ.get("TAPEJIT_FUZZ", "1"))

VIEWS = (
    "{a}[{i}]", "{a}[..., {i}]", "{a}[1:]", "{a}[:-1]", "{a}[::2]", "{a}[..., 1:]",
    "{a}[..., ::2]", "{a}.t()", "{a}.T", "{a}.transpose(0, -1)", "{a}.reshape(-1)", "{a}.view(-1)",
    "{a}.flatten()", "{a}.unsqueeze(0)", "{a}.unsqueeze(-1)", "{a}.squeeze()", "{a}.squeeze(0)",
    "{a}[None]", "{a}.diagonal()", "{a}.mT.diagonal()", "{a}.diagonal(1)", "{a}.narrow(0, 1, 1)",
    "{a}.select(-1, 0)", "{a}.expand(2, *{a}.shape)", "{a}.expand_as({a})",
    "{a}.permute(tuple(range({a}.dim())[::-1]))", "{a}.movedim(0, -1)", "{a}.detach()",
    "{a}.view_as({a})", "{a}.unflatten(-1, (2, -1))", "{a}.as_strided((2, 2), (1, 2))",
    "{a}.unfold(0, 2, 2)", "{a}[...]", "{a}[:, 1]", "{a}.swapaxes(0, 1)",
)  # fmt: skip
CHANGES = (
    "{a}.mul_(2)", "{a}.add_({b})", "{a}.mul_({b})", "{a}.sin_()", "{a}.exp_()", "{a}.zero_()",
    "{a}.copy_({b})", "{a}.fill_(0.5)", "{a} += {b}", "{a} *= 0.5", "{a}[{i}] = {b}",
    "{a}[{i}] = 1.5", "{a}[0] += 1", "{a}[{a} > 0.2] = 0.25", "{a}[[0]] = {b}",
    "{a}.masked_fill_({a} < 0, 0.1)", "{a}.sub_({b}.sum())", "{a}.tanh_()", "{a}.sigmoid_()",
    "{a}.clamp_(-1, 1)", "{a}.div_(2)", "{a}.index_fill_(0, k, 0.75)",
    "{a}.index_add_(0, k, {b}[:1])", "{a}.unsqueeze_(0)", "{a}.t_()", "{a}.squeeze_()",
    "{a}.fill_diagonal_(1.25)", "{a}.tril_()", "{a}.square_()", "{a}.neg_()",
    "{a}.transpose_(0, -1)", "{a}.copy_({a}.flip(0))", "{a}.pow_(2)",
)  # fmt: skip
FRESH = (
    "{a} * {b}", "{a} + {b}", "{a}.sin()", "{a}.exp()", "{a} * {a}", "{a}.clone()", "{a}.sum(0)",
    "{a}[[0, 0]]", "torch.cat([{a}, {a}])", "{a} * 2", "{a}.flip(0)", "{a}.tanh()",
    "{a}.contiguous()", "{a}.sigmoid()", "{a}.repeat(1, *(1,) * ({a}.dim() - 1))",
)  # fmt: skip


class Program:
    """A random program: its lines and the names it makes."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)
        self.lines: list[str] = ["a = x * 1.0", "b = c.clone()"]
        self.names = ["x", "w", "c", "a", "b"]
        self.shadow = {**start(tj, False), "torch": tj}
        for line in self.lines:
            exec(line, self.shadow)
        self.is_over = False  # whether the last line failed
        for _ in range(int(self.random.integers(3, 12))):
            if not self.is_over:
                self.add()

    def pick(self, options):
        return options[int(self.random.integers(len(options)))]

    def add(self) -> None:
        """One more line; most that would fail for their shapes are not taken."""
        a = self.pick(self.names[-4:] if self.random.integers(2) else self.names)
        b = self.pick(self.names)
        template = self.pick(self.pick((VIEWS, CHANGES, CHANGES, FRESH)))
        text = template.format(a=a, b=b, i=int(self.random.integers(2)))
        makes = template in VIEWS or template in FRESH
        name = f"v{len(self.lines)}"
        line = f"{name} = {text}" if makes else text
        changes_shape = any(f".{w}_(" in line for w in ("unsqueeze", "squeeze", "t", "transpose"))
        if not makes and not self.random.integers(6) and not changes_shape:
            line = f"with torch.no_grad(): {line}"
        try:
            exec(line, self.shadow)
        except (RuntimeError, IndexError, TypeError, ValueError):
            self.is_over = not self.random.integers(20)
            if not self.is_over:
                return
        self.lines.append(line)
        if makes:
            self.names.append(name)


def start(torch, grad: bool = True) -> dict:
    def numbers(shape, angle):
        size = int(np.prod(shape))
        data = np.sin(np.arange(size) * angle + 0.3).reshape(shape).tolist()
        return torch.tensor(data, dtype=torch.float64)

    x, w, c = numbers((3, 4), 1.3), numbers((4,), 0.7), numbers((3, 4), 2.1)
    return {
        "x": x.requires_grad_(grad), "w": w.requires_grad_(grad), "c": c,
        "k": torch.tensor([1]),
    }  # fmt: skip


def outcome(torch, program: Program) -> tuple:
    """(line that raised, facts); the line of backward is that after the last."""
    space = {**start(torch), "torch": torch}
    for number, line in enumerate(program.lines):
        try:
            exec(line, space)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            return number, type(error).__name__, str(error)
    tensors = {n: space[n] for n in program.names if n in space}
    facts = {n: (t.detach().clone(), t.requires_grad, t.is_leaf) for n, t in tensors.items()}
    total = 0.0
    for t in tensors.values():
        if t.requires_grad:
            total = (
                total
                + (t * t * torch.cos(torch.arange(t.numel()).to(t.dtype)).reshape(t.shape)).sum()
            )
    try:
        total.backward()
    except RuntimeError as error:
        return len(program.lines), type(error).__name__, str(error)
    return -1, facts, space["x"].grad, space["w"].grad


MORE_LENIENT = (
    # torch takes a view whose base began to require grad for a leaf, until it is looked at
    "a leaf Variable that requires grad is being used in an in-place operation",
    # what y.mul_(y) reads is copied here; and what fill_ and zero_ cut off is not asked for its
    # slope: nothing is stale then
    "modified by an inplace operation",
)


def compare(torch, seed: int) -> str:
    """What differs, in words."""
    program = Program(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = run(torch, lambda m: outcome(m, program))
    ours = run(tj, lambda m: outcome(m, program))
    text = "\n".join(program.lines)
    lasts_longer = theirs[0] >= 0 and not 0 <= ours[0] < theirs[0]
    if lasts_longer and any(words in theirs[2] for words in MORE_LENIENT):
        return ""
    if ours[0] != theirs[0]:
        told = [o[1:] if o[0] >= 0 else "nothing raised" for o in (ours, theirs)]
        return f"{text}\nline {ours[0]}: {told[0]}\ntorch line {theirs[0]}: {told[1]}"
    if theirs[0] >= 0:
        return ""
    found = differences(ours, theirs)
    return f"{text}\n" + "\n".join(found) if found else ""


@pytest.mark.parametrize("seed", range(200 * FUZZ))
def test_program(seed):
    torch = pytest.importorskip("torch")
    found = compare(torch, seed)
    assert not found, found


# ---------------------------------------------------------------- the same, traced


def as_function(program: Program):
    """The program as a function of x, w, c and k; None if it cuts off gradients on purpose."""
    if any("no_grad" in line or "detach" in line for line in program.lines):
        return None
    made = [name for name in program.names if name not in "xwc"]
    lines = ["c = c * 1.0", *program.lines, "total = 0.0"]
    for n in made:
        weights = f"torch.cos(torch.arange({n}.numel()).to({n}.dtype)).reshape({n}.shape)"
        lines.append(f"total = total + ({n} * {n} * {weights}).sum()")
    text = "\n    ".join(["def f(x, w, c, k):", *lines, "return total"])
    space = {"torch": tj, "__name__": "random_views"}
    exec(text, space)
    return space["f"]


@pytest.mark.parametrize("seed", range(60 * FUZZ))
def test_a_traced_program_is_the_eager_one(seed):
    function = as_function(Program(seed))
    if function is None:
        return
    space = start(tj)
    try:
        total = function(*(space[name] for name in "xwck"))
        wanted = tj.autograd.grad(total, (space["x"], space["w"]), allow_unused=True)
    except (RuntimeError, TypeError, IndexError):  # refused; or nothing leads to x
        return
    traced = tj.value_and_grad(function, argnums=(0, 1))
    for _ in range(2):  # recorded, then compiled
        plain = start(tj, False)
        value, slopes = traced(*(plain[name] for name in "xwck"))
        assert float(value) == pytest.approx(total.item(), rel=1e-9)
        for got, slope in zip(slopes, wanted, strict=True):
            expected = np.zeros(got.shape) if slope is None else slope.numpy()
            np.testing.assert_allclose(got.numpy(), expected, 1e-8, 1e-9)
