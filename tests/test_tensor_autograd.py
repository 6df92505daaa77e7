"""Autograd's behaviour as in torch: graphs, backward, grad, hooks, modes, errors.

Each case takes the module and returns what can be seen of it; tests/oracle.py runs it with tapejit
and with torch and compares.  `LITERAL` at the end needs no torch.
"""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
from oracle import Cases, differences, fn_name, raised, run, same_as_torch, warned

import tapejit

CASES = Cases()


# ---- leaves and graphs -------------------------------------------------------------------------


@CASES.add
def leaf_facts(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    plain = torch.tensor([1.0])
    y = x * 2
    return [
        (t.is_leaf, t.requires_grad, fn_name(t), t.grad)
        for t in (x, plain, plain * 2, x.detach(), x.data)
    ] + [(y.is_leaf, y.requires_grad, fn_name(y))]


@CASES.add
def next_functions(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = torch.tensor(3.0)
    z = torch.sin(x) * y + x
    node = z.grad_fn
    first = [(f if f is None else f.name(), i) for f, i in node.next_functions]
    mul = node.next_functions[0][0]
    second = [(f if f is None else f.name(), i) for f, i in mul.next_functions]
    sin = mul.next_functions[0][0]
    accumulate = sin.next_functions[0][0]
    return (
        node.name(),
        first,
        second,
        accumulate.name(),
        accumulate.variable is x,
        accumulate.next_functions,
        type(node).__name__,
        type(node.next_functions).__name__,
    )


@CASES.add
def next_functions_of_the_same_node(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = x.exp()
    z = y * y
    return [(f.name(), i) for f, i in z.grad_fn.next_functions], (
        z.grad_fn.next_functions[0][0] == z.grad_fn.next_functions[1][0]
    )


@CASES.add
def requires_grad_is_set(torch):
    x = torch.tensor([1.0, 2.0])
    x.requires_grad = True
    y = (x * x).sum()
    y.backward()
    same = x.requires_grad_() is x
    x.requires_grad_(False)
    return x.grad, same, x.requires_grad, (x * 2).requires_grad, x.requires_grad_(True)


@CASES.add
def requires_grad_errors(torch):
    x = torch.tensor([1.0], requires_grad=True)
    y = x * 2
    i = torch.tensor([1])

    def turn_off():
        y.requires_grad = False

    def turn_on():
        i.requires_grad = True

    return (
        raised(lambda: i.requires_grad_(), 6),
        raised(turn_on, 0),
        raised(lambda: torch.tensor([1], requires_grad=True), 6),
        raised(lambda: torch.tensor([True], requires_grad=True), 6),
        raised(lambda: y.requires_grad_(False), 8),
        raised(turn_off, 8),
        y.requires_grad_(True),
        i.requires_grad_(False),
    )


@CASES.add
def broadcasting_gradients(torch):
    a = torch.ones(3, 1, requires_grad=True)
    b = torch.arange(4.0, requires_grad=True)
    s = torch.tensor(2.0, requires_grad=True)
    (a * b + s).sum().backward()
    return a.grad, b.grad, s.grad


@CASES.add
def diamond(torch):
    x = torch.tensor(1.5, requires_grad=True)
    a = x.sin()
    b = a * x
    c = a + b * b
    (c * b).backward()
    return x.grad


@CASES.add
def deep_chain(torch):
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(3000):
        y = y * 1.0001
    y.backward()
    return x.grad, y


@CASES.add
def wide_sum(torch):
    xs = [torch.tensor(float(i), requires_grad=True) for i in range(200)]
    total = sum(x * x for x in xs)
    total.backward()
    return [x.grad.item() for x in xs]


@CASES.add
def mixed_dtypes(torch):
    x = torch.ones(2, requires_grad=True)
    d = torch.ones(2, dtype=torch.float64, requires_grad=True)
    y = x * d * torch.tensor([2, 3])
    y.sum().backward()
    return y, x.grad, d.grad


@CASES.add
def casts_carry_gradients(torch):
    x = torch.tensor([1.5, 2.5], requires_grad=True)
    y = x.double() ** 2
    z = y.to(torch.float32) * 3
    z.sum().backward()
    return y, z, x.grad, x.float() is x, x.to(torch.float32) is x, x.int()


# ---- backward ----------------------------------------------------------------------------------


@CASES.add
def accumulation(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    history = []
    for _ in range(3):
        (x**2).sum().backward()
        history.append(x.grad.tolist())
    identity = x.grad
    (x * 3).sum().backward()
    history.append((identity is x.grad, x.grad.tolist()))
    x.grad.zero_()
    history.append(x.grad.tolist())
    x.grad = None
    x.sum().backward()
    return history, x.grad


@CASES.add
def backward_with_gradient(torch):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x * x).backward(torch.tensor([1.0, 0.1, 0.01]))
    first = x.grad.clone()
    (x * x).backward(gradient=torch.ones(3))
    y = torch.tensor(2.0, requires_grad=True)
    (y * y).backward(torch.tensor(3.0))
    return first, x.grad, y.grad


@CASES.add
def gradient_is_not_changed(torch):
    x = torch.ones(2, requires_grad=True)
    g = torch.tensor([1.0, 2.0])
    (x * 1.0).backward(g)
    x.grad.add_(1)
    x2 = torch.ones(2, requires_grad=True)
    x2.clone().backward(g)
    x2.grad.mul_(5)
    return g, x.grad, x2.grad


@CASES.add
def gradients_of_two_leaves_are_separate(torch):
    a = torch.ones(2, requires_grad=True)
    b = torch.ones(2, requires_grad=True)
    (a + b).sum().backward()
    a.grad.add_(10)
    return a.grad, b.grad


@CASES.add
def backward_errors(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    plain = torch.tensor(1.0)
    return (
        raised(lambda: y.backward(), 8),
        raised(lambda: plain.backward(), 14),
        raised(lambda: (plain * 2).backward(), 14),
        raised(lambda: torch.tensor(3).backward(), 14),
        raised(lambda: x.detach().sum().backward(), 14),
        raised(lambda: y.backward(torch.ones(3)), 3),
        raised(lambda: y.backward(torch.ones(2, 1)), 3),
        raised(lambda: y.backward("a"), 0),
        raised(lambda: y.backward(1.0), 0),
    )


@CASES.add
def freed_graph(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    y.backward()
    error = raised(lambda: y.backward(), 10)
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    return error, x.grad, raised(lambda: z.backward(), 10)


@CASES.add
def freed_part_of_a_graph(torch):
    x = torch.tensor(2.0, requires_grad=True)
    shared = x.exp()
    a, b = shared * 2, shared * 3
    a.backward()
    return raised(lambda: b.backward(), 10), x.grad


@CASES.add
def a_graph_that_saved_nothing_can_be_walked_again(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    return x.grad


@CASES.add
def grad_also_frees(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = x * x
    g = torch.autograd.grad(y, x)
    return g, raised(lambda: torch.autograd.grad(y, x), 10), x.grad


@CASES.add
def backward_inputs(torch):
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(3.0, requires_grad=True)
    c = a * b
    d = c * c
    d.backward(inputs=[a])
    first = (a.grad, b.grad)
    (a * b).backward(inputs=b)
    e = a * 2
    (e * e).backward(inputs=[e])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return first, b.grad, e.grad, a.grad, raised(lambda: (a * b).backward(inputs=[]), 4)


@CASES.add
def backward_create_graph(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (x**3).sum().backward(create_graph=True)
    first = x.grad
    x.grad = None
    (first**2).sum().backward()
    return fn_name(first) is not None, first.detach(), x.grad


@CASES.add
def torch_autograd_backward(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y, z = x * 2, x.sum()
    torch.autograd.backward([y, z], [torch.ones(2), None])
    first = x.grad.clone()
    torch.autograd.backward((x * x).sum())
    return first, x.grad


@CASES.add
def loops_without_backward(torch):
    w = torch.ones(3, requires_grad=True)
    total = 0.0
    for i in range(200):
        loss = ((w * i) ** 2).sum()
        total += loss.item()
    running = torch.zeros(())
    for i in range(50):
        running = running + (w * i).sum().detach()
    (w * 2).sum().backward()
    return total, running, w.grad


@CASES.add
def running_sum_of_losses(torch):
    w = torch.tensor([1.0, -1.0], requires_grad=True)
    total = 0
    for i in range(30):
        total = total + ((w * i).sin() ** 2).sum()
    total.backward()
    return total, w.grad


@CASES.add
def tensors_in_lists(torch):
    w = torch.tensor(0.5, requires_grad=True)
    kept = [w]
    for _ in range(5):
        kept.append(torch.tanh(kept[-1] * 2))
    last = kept[-1]
    del kept[1:-1]
    gc.collect()
    last.backward()
    outputs = [w * i for i in range(4)]
    torch.stack(outputs).sum().backward()
    return last, w.grad


@CASES.add
def intermediate_deleted_before_backward(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    z = (y * y).sum()
    del y
    gc.collect()
    z.backward()
    return x.grad


@CASES.add
def leaf_deleted_before_backward(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = torch.tensor(3.0, requires_grad=True)
    z = x * y
    del x
    gc.collect()
    z.backward()
    return y.grad


@CASES.add
def backward_of_a_leaf(torch):
    x = torch.tensor(2.0, requires_grad=True)
    x.backward()
    x.backward(torch.tensor(4.0))
    return x.grad


@CASES.add
def backward_of_an_element(torch):
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = x**2
    y[0, 1].backward(retain_graph=True)
    y[1].sum().backward()
    one = torch.tensor([[3.0]], requires_grad=True)
    (one * one).backward()
    return x.grad, one.grad


@CASES.add
def zero_gradients_and_unused_leaves(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    unused = torch.tensor(1.0, requires_grad=True)
    (x * 0).sum().backward()
    return x.grad, unused.grad


@CASES.add
def grad_attribute_is_assigned(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    x.grad = torch.tensor([5.0, 5.0])
    (x * 2).sum().backward()

    def wrong_shape():
        x.grad = torch.ones(3)

    def wrong_type():
        x.grad = 1.0

    def wrong_dtype():
        x.grad = torch.ones(2, dtype=torch.float64)

    errors = [raised(f, 0) for f in (wrong_shape, wrong_type, wrong_dtype)]
    before = x.grad
    del x.grad
    return before, x.grad, errors


# ---- non-leaf .grad, retain_grad ---------------------------------------------------------------


@CASES.add
def grad_of_non_leaf_warns(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = x * 3
    z = y * y
    z.backward()
    return warned(lambda: y.grad, 16), x.grad, warned(lambda: x.detach().grad)


@CASES.add
def retain_grad(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y.retain_grad()
    y.retain_grad()
    z = (y * y).sum()
    before = y.grad
    z.backward(retain_graph=True)
    once = y.grad.clone()
    z.backward()
    x.retain_grad()
    return before, once, y.grad, x.grad, y.retains_grad, x.retains_grad, z.retains_grad


@CASES.add
def retain_grad_of_plain_tensor(torch):
    return raised(lambda: torch.ones(2).retain_grad(), 0)


# ---- hooks -------------------------------------------------------------------------------------


@CASES.add
def hook_replaces_gradient(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    x2 = torch.tensor(1.0, requires_grad=True)
    x2.register_hook(lambda g: g + 100)
    (x2 * 3).backward()
    return x.grad, x2.grad


@CASES.add
def hook_is_removed(torch):
    x = torch.tensor(1.0, requires_grad=True)
    seen = []
    handle = x.register_hook(lambda g: seen.append(g.item()))
    (x * 3).backward()
    handle.remove()
    (x * 5).backward()
    handle.remove()
    return seen, x.grad


@CASES.add
def hooks_run_in_order(torch):
    x = torch.tensor(1.0, requires_grad=True)
    log = []

    def named(name, factor):
        def hook(g):
            log.append((name, g.item()))
            return None if factor is None else g * factor

        return hook

    y = x * 2
    z = y * 3
    x.register_hook(named("x first", 2))
    x.register_hook(named("x second", None))
    z.register_hook(named("z", 5))
    y.register_hook(named("y first", None))
    y.register_hook(named("y second", 7))
    y.retain_grad()
    y.register_hook(named("y third", 11))
    z.backward()
    return log, x.grad, y.grad


@CASES.add
def hook_sees_the_summed_gradient_once(torch):
    x = torch.tensor(2.0, requires_grad=True)
    seen = []
    y = x.exp()
    y.register_hook(lambda g: seen.append(g.item()))
    (y * 2 + y * 3 + y).backward()
    x.register_hook(lambda g: seen.append(g.item()))
    (x * x + x).backward()
    return seen


@CASES.add
def hooks_and_autograd_grad(torch):
    x = torch.tensor(2.0, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()) or g * 2)
    y = x * x
    y.register_hook(lambda g: g * 3)
    (g,) = torch.autograd.grad(y, x)
    return g, seen, x.grad


@CASES.add
def hook_errors(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    bad = torch.tensor([1.0, 2.0], requires_grad=True)
    bad.register_hook(lambda g: "not a tensor")

    def fail(g):
        raise ValueError("from the hook")

    x.register_hook(fail)
    return (
        raised(lambda: torch.ones(2).register_hook(lambda g: g), 8),
        raised(lambda: (x * 2).sum().backward(), 3),
        raised(lambda: (bad * 2).sum().backward(), 0),
    )


@CASES.add
def hook_with_double_backward(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = x**3
    y.register_hook(lambda g: g * 2)
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    return g.detach(), torch.autograd.grad(g, x)


# ---- autograd.grad -----------------------------------------------------------------------------


@CASES.add
def grad_basic(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.tensor(3.0, requires_grad=True)
    z = (x * x * y).sum()
    return torch.autograd.grad(z, [x, y], retain_graph=True), torch.autograd.grad(z, x), x.grad


@CASES.add
def grad_outputs(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y, z = x * x, x.sin()
    weights = [torch.tensor([1.0, 10.0]), torch.tensor([0.5, 0.5])]
    return (
        torch.autograd.grad(y, x, grad_outputs=weights[0], retain_graph=True),
        torch.autograd.grad([y, z], [x], grad_outputs=weights, retain_graph=True),
        torch.autograd.grad([y.sum(), z.sum()], x, retain_graph=True),
        torch.autograd.grad((y, z.sum()), x, grad_outputs=(weights[1], None), retain_graph=True),
        raised(lambda: torch.autograd.grad(y, x), 8),
        raised(lambda: torch.autograd.grad(y, x, grad_outputs=torch.ones(5)), 3),
    )


@CASES.add
def grad_of_intermediates(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = x * 3
    z = y**2
    return torch.autograd.grad(z, [y, x, z])


@CASES.add
def grad_unused(torch):
    x = torch.tensor(2.0, requires_grad=True)
    u = torch.tensor(1.0, requires_grad=True)
    y = x * x
    return (
        raised(lambda: torch.autograd.grad(y, [x, u], retain_graph=True), 13),
        torch.autograd.grad(y, [x, u], allow_unused=True, retain_graph=True),
        torch.autograd.grad(y, [x, u], materialize_grads=True, retain_graph=True),
        raised(lambda: torch.autograd.grad(y, torch.tensor(1.0), retain_graph=True), 9),
        raised(lambda: torch.autograd.grad(torch.tensor(1.0), x), 10),
        raised(lambda: torch.autograd.grad(y, []), 0),
    )


@CASES.add
def grad_of_a_later_in_place_or_view(torch):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[1:]
    return raised(lambda: torch.autograd.grad(x.sum(), y), 8), torch.autograd.grad(y.sum(), x)


@CASES.add
def double_backward(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = x**4
    derivatives = [y]
    for _ in range(4):
        (y,) = torch.autograd.grad(y, x, create_graph=True)
        derivatives.append(y)
    return [d.item() for d in derivatives], derivatives[1].requires_grad


@CASES.add
def grad_without_create_graph_is_plain(torch):
    x = torch.tensor(2.0, requires_grad=True)
    (g,) = torch.autograd.grad(x**3, x)
    (h,) = torch.autograd.grad(x**3, x, create_graph=True)
    return g.requires_grad, g.grad_fn, h.requires_grad, raised(lambda: g.backward(), 10)


@CASES.add
def mixed_second_derivatives(torch):
    x = torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([2.0, 0.3], dtype=torch.float64, requires_grad=True)
    z = (torch.sin(x * y) * torch.exp(-x)).sum()
    gx, gy = torch.autograd.grad(z, (x, y), create_graph=True)
    return torch.autograd.grad((gx * gy).sum(), (x, y))


@CASES.add
def gradient_penalty(torch):
    w = torch.tensor([[0.3, -0.2], [0.1, 0.8]], requires_grad=True)
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    out = torch.tanh(x @ w).sum()
    (gx,) = torch.autograd.grad(out, x, create_graph=True)
    loss = (gx.norm() - 1) ** 2 + out
    loss.backward()
    return loss, w.grad, x.grad


@CASES.add
def second_order_through_linear_is_zero(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (g,) = torch.autograd.grad((x * 3).sum(), x, create_graph=True)
    return g.detach(), g.requires_grad, raised(lambda: g.sum().backward(), 10)


@CASES.add
def batched_vector_products(torch):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = torch.stack([x[0] * x[1], x[2] ** 2])
    rows = [
        torch.autograd.grad(y, x, grad_outputs=torch.eye(2)[i], retain_graph=True)[0]
        for i in range(2)
    ]
    return torch.stack(rows)


# ---- detach, data, clone -----------------------------------------------------------------------


@CASES.add
def detach_stops_gradients(torch):
    x = torch.tensor(3.0, requires_grad=True)
    y = x * x.detach()
    y.backward()
    z = x.detach()
    return x.grad, z, z.is_leaf, z.requires_grad_().is_leaf


@CASES.add
def detach_shares_memory(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    d = x.detach()
    d[0] = 7.0
    x.data[1] = 9.0
    return x, d, x.data_ptr() == d.data_ptr(), x.clone().data_ptr() == x.data_ptr()


@CASES.add
def detach_in_place(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    same = y.detach_() is y
    z = (y * x).sum()
    z.backward()
    view = (x * 2)[0]
    return same, y, y.is_leaf, x.grad, raised(lambda: view.detach_(), 4)


@CASES.add
def clone_passes_gradients(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.clone()
    (y * y).sum().backward()
    return x.grad, y, x.detach().clone()


@CASES.add
def data_is_assigned(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    x.data = torch.tensor([5.0, 6.0])
    (x * x).sum().backward()
    x.data -= 0.1 * x.grad
    return x, x.grad, x.is_leaf


@CASES.add
def copies_of_tensors(torch):
    import copy

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = copy.deepcopy(x)
    (x * x).sum().backward()
    return y, y.grad, y.is_leaf, raised(lambda: copy.deepcopy(x * 2), 0)


@CASES.add
def conversion_errors(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    return (
        raised(lambda: x.numpy(), 8),
        raised(lambda: np.asarray(x), 8),
        raised(lambda: (x * 2).numpy(), 8),
        raised(lambda: x.item(), 9),
        x.tolist(),
        x[0].item(),
        x.sum().item(),
    )


# ---- modes -------------------------------------------------------------------------------------


@CASES.add
def no_grad_context(torch):
    x = torch.tensor(2.0, requires_grad=True)
    with torch.no_grad():
        y = x * 2
        inside = (torch.is_grad_enabled(), y.requires_grad, x.requires_grad)
        with torch.enable_grad():
            z = x * 3
            nested = torch.is_grad_enabled()
        w = torch.ones(2, requires_grad=True)
        after = torch.is_grad_enabled()
    return inside, nested, after, torch.is_grad_enabled(), y, z, w


@CASES.add
def modes_as_decorators(torch):
    x = torch.tensor(2.0, requires_grad=True)

    @torch.no_grad()
    def off(v, scale=1):
        """docs"""
        return v * scale

    @torch.enable_grad()
    def on(v):
        return v * 3

    @torch.set_grad_enabled(False)
    def also_off(v):
        return v * 4

    @torch.no_grad
    def bare(v):
        return v * 5

    with torch.no_grad():
        z = on(x)
    return (
        off(x, scale=2),
        z,
        off.__name__,
        off.__doc__,
        bare(x),
        torch.is_grad_enabled(),
        also_off(x),
    )


@CASES.add
def set_grad_enabled(torch):
    x = torch.tensor(2.0, requires_grad=True)
    with torch.set_grad_enabled(False):
        a = x * 2
    with torch.no_grad(), torch.set_grad_enabled(True):
        b = x * 2
    torch.set_grad_enabled(False)
    c = x * 2
    torch.set_grad_enabled(True)
    return a, b, c, x * 2


@CASES.add
def modes_restore_after_errors(torch):
    def fail():
        with torch.no_grad():
            raise ValueError("inside")

    error = raised(fail)
    return error, torch.is_grad_enabled()


@CASES.add
def generators_under_no_grad(torch):
    x = torch.tensor(1.0, requires_grad=True)

    @torch.no_grad()
    def produce():
        for i in range(3):
            yield x * i

    return [(t.requires_grad, torch.is_grad_enabled()) for t in produce()]


@CASES.add
def inference_mode(torch):
    x = torch.tensor(2.0, requires_grad=True)
    with torch.inference_mode():
        y = x * 2
        inside = (torch.is_inference_mode_enabled(), torch.is_grad_enabled())

    @torch.inference_mode()
    def f(v):
        return v * 3

    return (
        inside,
        y.requires_grad,
        f(x).requires_grad,
        torch.is_inference_mode_enabled(),
        (y + 1).item(),
    )


@CASES.add
def backward_inside_no_grad(torch):
    x = torch.tensor(2.0, requires_grad=True)
    y = x * x
    with torch.no_grad():
        y.backward()
        z = x * 2
    return x.grad, raised(lambda: z.backward(), 10)


# ---- autograd.functional -----------------------------------------------------------------------


def cubes(x):
    return x**3


def scalar_of_two(x, y):
    return (x * x * y).sum() + y.prod()


def two_of_two(x, y):
    return x * y.sum(), (x + y).sin()


@CASES.add
def functional_jacobian(torch):
    F = torch.autograd.functional
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0])
    return (
        F.jacobian(cubes, x),
        F.jacobian(two_of_two, (x, y)),
        F.jacobian(scalar_of_two, (x, y)),
        F.jacobian(lambda v: v.reshape(1, 2) * 2, x),
        F.jacobian(lambda v: v.sum(), torch.tensor(2.0)),
        F.jacobian(lambda v: torch.ones(2), x),
        F.jacobian(cubes, x, vectorize=True),
    )


@CASES.add
def functional_jacobian_create_graph(torch):
    F = torch.autograd.functional
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    jacobian = F.jacobian(cubes, x, create_graph=True)
    plain = F.jacobian(cubes, x)
    jacobian.sum().backward()
    return jacobian.detach(), x.grad, plain.requires_grad


@CASES.add
def functional_hessian(torch):
    F = torch.autograd.functional
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0])
    return (
        F.hessian(lambda v: (v**3).sum(), x),
        F.hessian(scalar_of_two, (x, y)),
        F.hessian(lambda v: v.sin().sum() ** 2, torch.tensor([[0.1, 0.2]])),
        raised(lambda: F.hessian(cubes, x), 0),
    )


@CASES.add
def functional_products(torch):
    F = torch.autograd.functional
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0])
    v, w = torch.tensor([1.0, -1.0]), torch.tensor([2.0, 0.5])
    return (
        F.vjp(cubes, x, v),
        F.vjp(two_of_two, (x, y), (v, w)),
        F.vjp(scalar_of_two, (x, y)),
        F.jvp(cubes, x, v),
        F.jvp(two_of_two, (x, y), (v, w)),
        F.hvp(lambda t: (t**3).sum(), x, v),
        F.hvp(scalar_of_two, (x, y), (v, w)),
        F.vhp(lambda t: (t**3).sum(), x, v),
        raised(lambda: F.vjp(cubes, x), 0),
        raised(lambda: F.vjp(cubes, x, torch.ones(3)), 0),
        x.requires_grad,
    )


# ---- training ----------------------------------------------------------------------------------


def data(torch):
    x = torch.linspace(-1, 1, 20).reshape(10, 2)
    return x, (x @ torch.tensor([[2.0], [-3.0]]) + 0.5)


@CASES.add
def sgd_by_hand(torch):
    x, y = data(torch)
    w = torch.zeros(2, 1, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    losses = []
    for _ in range(50):
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
            b -= 0.1 * b.grad
        w.grad.zero_()
        b.grad = None
        losses.append(loss.item())
    return losses, w, b, w.is_leaf


@CASES.add
def sgd_with_data(torch):
    x, y = data(torch)
    w = torch.full((2, 1), 0.1, requires_grad=True)
    for _ in range(50):
        loss = torch.logaddexp(x @ w, y).sum() + (w**2).sum()
        loss.backward()
        w.data.sub_(w.grad, alpha=0.01)
        w.grad.zero_()
    return loss, w


@CASES.add
def momentum_and_new_leaves(torch):
    w = torch.tensor([1.0, -2.0], requires_grad=True)
    velocity = torch.zeros(2)
    for _ in range(50):
        loss = ((w**2) * torch.tensor([1.0, 3.0])).sum()
        (g,) = torch.autograd.grad(loss, w)
        velocity = 0.9 * velocity + g
        w = (w - 0.01 * velocity).detach().requires_grad_()
    return w, velocity


@CASES.add
def small_network(torch):
    x, y = data(torch)
    layers = [
        torch.tensor(np.cos(np.arange(8.0)).reshape(2, 4), dtype=torch.float32, requires_grad=True),
        torch.zeros(4, requires_grad=True),
        torch.tensor(np.sin(np.arange(4.0)).reshape(4, 1), dtype=torch.float32, requires_grad=True),
        torch.zeros(1, requires_grad=True),
    ]
    losses = []
    for _ in range(50):
        hidden = torch.tanh(x @ layers[0] + layers[1])
        loss = ((hidden @ layers[2] + layers[3] - y) ** 2).mean()
        for p in layers:
            p.grad = None
        loss.backward()
        with torch.no_grad():
            for p in layers:
                p.add_(p.grad, alpha=-0.05)
        losses.append(loss.item())
    return losses


@CASES.add
def recurrent(torch):
    w = torch.tensor([[0.5, -0.3], [0.2, 0.7]], requires_grad=True)
    h = torch.zeros(1, 2)
    outputs = []
    for i in range(12):
        h = torch.tanh(h @ w + torch.tensor([[0.1 * i, -0.2]]))
        outputs.append(h)
    torch.cat(outputs).pow(2).sum().backward()
    return w.grad


@CASES.add
def truncated_recurrence(torch):
    w = torch.tensor(0.7, requires_grad=True)
    h = torch.tensor(0.1)
    for _ in range(10):
        h = torch.tanh(w * h + 1)
        h.backward()
        h = h.detach()
    return w.grad, h


@CASES.add
def branches_on_values(torch):
    def f(x):
        y = x
        while y.abs().sum() < 50:
            y = y * 2 if y.sum() > 0 else y - 1
        return y.prod()

    x = torch.tensor([1.0, 0.5], requires_grad=True)
    f(x).backward()
    z = torch.tensor([-1.0, 0.5], requires_grad=True)
    f(z).backward()
    return x.grad, z.grad


@CASES.add
def newton_with_second_derivatives(torch):
    x = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    for _ in range(6):
        y = torch.exp(x) - 2 * x
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        (h,) = torch.autograd.grad(g, x)
        with torch.no_grad():
            x -= g / h
    return x


@pytest.mark.parametrize("case", CASES, ids=CASES.names())
def test_case(case):
    same_as_torch(case, loosen=3.0)


# ---- without torch -----------------------------------------------------------------------------


def power(torch):
    x = torch.tensor(3.0, requires_grad=True)
    y = x**2
    y.backward()
    return y.item(), x.grad.item(), fn_name(y), repr(y)


def double(torch):
    x = torch.tensor(2.0, requires_grad=True)
    (g,) = torch.autograd.grad(x**3, x, create_graph=True)
    g.backward()
    return g.item(), x.grad.item()


def names(torch):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    built = (x + 1, x - 1, x * x, x / 2, -x, x**2, x.sum(), x.mean(), x.exp(), x[0], x @ x)
    return [fn_name(t) for t in built]


def no_graph(torch):
    try:
        torch.tensor(1.0).backward()
    except RuntimeError as error:
        return str(error).splitlines()[0]


def accumulate(torch):
    x = torch.tensor([1.0, -1.0], requires_grad=True)
    for _ in range(2):
        (x * x).sum().backward()
    return x.grad.tolist()


def hooked(torch):
    x = torch.tensor(1.0, requires_grad=True)
    x.register_hook(lambda g: g * 10)
    (x * 3).backward()
    return x.grad.item()


def unused(torch):
    x = torch.tensor(1.0, requires_grad=True)
    z = torch.tensor(1.0, requires_grad=True)
    return torch.autograd.grad(x * 2, [z], allow_unused=True)


def modes(torch):
    x = torch.tensor(1.0, requires_grad=True)
    with torch.no_grad():
        y = x * 2
    return y.requires_grad, (x * 2).requires_grad


def line_fit(torch):
    x = torch.linspace(0, 1, 11)
    w = torch.tensor(0.0, requires_grad=True)
    for _ in range(100):
        loss = ((w * x - 3 * x) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            w -= w.grad
        w.grad = None
    return round(w.item(), 3)


def non_leaf(torch):
    y = torch.tensor(1.0, requires_grad=True) * 2
    return warned(lambda: y.grad, 6)


def hessian(torch):
    f = torch.autograd.functional.hessian
    return f(lambda v: (v**3).sum(), torch.tensor([1.0, 2.0])).tolist()


def graph(torch):
    x = torch.tensor(2.0, requires_grad=True)
    return [(f and f.name().split("::")[-1], i) for f, i in (x * x.detach()).grad_fn.next_functions]


LITERAL = [
    (power, (9.0, 6.0, "PowBackward0", "tensor(9., grad_fn=<PowBackward0>)")),
    (double, (12.0, 12.0)),
    (
        names,
        [
            "AddBackward0",
            "SubBackward0",
            "MulBackward0",
            "DivBackward0",
            "NegBackward0",
            "PowBackward0",
            "SumBackward0",
            "MeanBackward0",
            "ExpBackward0",
            "SelectBackward0",
            "DotBackward0",
        ],
    ),
    (no_graph, "element 0 of tensors does not require grad and does not have a grad_fn"),
    (accumulate, [4.0, -4.0]),
    (hooked, 30.0),
    (unused, (None,)),
    (modes, (False, True)),
    (line_fit, 3.0),
    (non_leaf, (None, ["UserWarning: The .grad attribute of a Tensor"])),
    (hessian, [[6.0, 0.0], [0.0, 12.0]]),
    (graph, [("AccumulateGrad", 0), (None, 0)]),
]


@pytest.mark.parametrize(("case", "expected"), LITERAL, ids=[case.__name__ for case, _ in LITERAL])
def test_literal(case, expected):
    assert differences(run(tapejit, case), expected) == []
