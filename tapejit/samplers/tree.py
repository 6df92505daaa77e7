"""The No-U-Turn sampler's inner loop, compiled by Numba: a chain advances by whole draws.

The one idea: a trajectory is a row of leaves, and every U-turn that must be looked for is a merge
of two neighbouring stretches.  Leaves are pushed on a stack and merged as a binary counter carries,
so no recursion and no memory beyond two stretches a level.  The density is a C function, given by
its address when a chain runs: this module is compiled once on a machine, whatever the model.

Start at `advance`, then `transition`, which is one draw.

Multinomial weights, biased progressive sampling between doublings and the generalised criterion
with its two extra checks are those of Stan (src/stan/mcmc/hmc/nuts/base_nuts.hpp); Hoffman and
Gelman 2014, Betancourt 2017 (arXiv:1701.02434, appendix A).  Within a new subtree the proposal is
kept leaf by leaf, which has the distribution of Stan's merges and copies less.

It does not adapt the mass matrix, start chains or start threads: `chains` does.  It imports Numba,
so it is imported when sampling begins.
"""

# pyright: reportCallIssue=false, reportGeneralTypeIssues=false
# (what @intrinsic makes of a function has other arguments)

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# ---------------------------------------------------------------- data

MAX_ENERGY_CHANGE = 1000.0
"""A leaf whose energy is further off than this is a divergence (Stan's max_deltaH)."""

DONE, STOPPED, FAILED = 0, 1, 2
"""What `advance` ends with: all draws, the stop flag, or a density that returned a status < 0."""

STATISTICS = ("lp", "acceptance_rate", "step_size", "tree_depth", "n_steps", "diverging",
              "energy", "energy_error")  # fmt: skip
"""The columns of a chain's statistics, by the names that ArviZ knows."""


class Target(NamedTuple):
    """A density: `int64 f(uint64 n, const double *x, double *gradient, double *logp, void *data)`.

    Status 0 is fine, > 0 means that there is no density here, < 0 that the chain must not go on.
    """

    address: int
    data: int


class State(NamedTuple):
    """Where a chain is; changed in place."""

    position: np.ndarray
    gradient: np.ndarray
    logp: np.ndarray
    """One number."""
    random: np.ndarray
    """The four words of xoshiro256++."""
    step: np.ndarray
    """Dual averaging: step size, its centre's log, mean error, mean log step size, updates."""
    progress: np.ndarray
    """How many draws there are; read by other threads."""


class Metric(NamedTuple):
    """The inverse mass matrix: one row of variances, or a full covariance."""

    inverse: np.ndarray
    factor: np.ndarray
    """Square roots of the variances, or the covariance's lower Cholesky factor."""


class Tree(NamedTuple):
    """Memory of a trajectory; its ends have index 0 backward in time and 1 forward."""

    positions: np.ndarray
    momenta: np.ndarray
    gradients: np.ndarray
    velocity: np.ndarray
    value: np.ndarray
    proposal: np.ndarray
    """Position and gradient of the leaf chosen in the present subtree; of one that failed."""
    chosen: np.ndarray
    """Position and gradient of the leaf chosen in the trajectory."""
    whole: np.ndarray
    """The trajectory so far as a stretch; it ends where the present subtree grows."""
    stack: np.ndarray
    """Stretches of 2^k leaves of the present subtree."""


FIRST_P, FIRST_V, LAST_P, LAST_V, SUM = range(5)
"""The rows of a stretch: momentum and velocity at its two ends, and the sum of its momenta."""


def new_tree(n: int, max_depth: int) -> Tree:
    """Memory for trajectories of up to 2^max_depth - 1 steps in n dimensions."""
    ends = [np.zeros((2, n)) for _ in range(3)]
    leaves = [np.zeros((2, n)) for _ in range(2)]
    return Tree(
        *ends, np.zeros(n), np.zeros(1), *leaves, np.zeros((5, n)), np.zeros((max_depth + 1, 5, n))
    )


# ---------------------------------------------------------------- the density


@intrinsic
def call_address(typing_context, address, n, x, gradient, value, data):
    """Call the C function at an address, known only now."""
    word = types.int64
    signature = word(types.int64, types.int64, x, gradient, value, types.int64)

    def generate(context, builder, signature, args):
        integer, pointer = ir.IntType(64), ir.DoubleType().as_pointer()
        function = ir.FunctionType(integer, [integer, pointer, pointer, pointer, cgutils.voidptr_t])
        arrays = [
            context.make_array(kind)(context, builder, array).data
            for kind, array in zip(signature.args[2:5], args[2:5], strict=True)
        ]
        callee = builder.inttoptr(args[0], function.as_pointer())
        return builder.call(
            callee, [args[1], *arrays, builder.inttoptr(args[5], cgutils.voidptr_t)]
        )

    return signature, generate


@njit(inline="always")
def evaluate(target, x, gradient, value):
    """The log density and its gradient; -inf where there is none.  Returns the status."""
    status = call_address(target.address, len(x), x, gradient, value, target.data)
    if status != 0 or not value[0] < math.inf:  # nan and +inf are no densities
        value[0] = -math.inf
    return status


# ---------------------------------------------------------------- random numbers


@njit
def uniform(random):
    """The next number in [0, 1): xoshiro256++ (Blackman and Vigna 2019)."""
    a, b, c, d = random[0], random[1], random[2], random[3]
    mixed = a + d
    mixed = ((mixed << np.uint64(23)) | (mixed >> np.uint64(41))) + a
    c ^= a
    d ^= b
    random[1] = b ^ c
    random[0] = a ^ d
    random[2] = c ^ (b << np.uint64(17))
    random[3] = (d << np.uint64(45)) | (d >> np.uint64(19))
    return np.float64(mixed >> np.uint64(11)) * 2.0**-53


@njit
def normals(random, out):
    """Fill with standard normal numbers: Marsaglia's polar method."""
    for i in range(0, len(out), 2):
        square = 2.0
        u = v = 0.0
        while square >= 1.0 or square == 0.0:
            u = 2.0 * uniform(random) - 1.0
            v = 2.0 * uniform(random) - 1.0
            square = u * u + v * v
        radius = math.sqrt(-2.0 * math.log(square) / square)
        out[i] = u * radius
        if i + 1 < len(out):
            out[i + 1] = v * radius


# ---------------------------------------------------------------- mechanics


@njit
def set_velocity(metric, momentum, velocity):
    """velocity = inverse mass matrix times momentum; returns twice the kinetic energy."""
    n, total = len(momentum), 0.0
    is_diagonal = len(metric.inverse) == 1
    for i in range(n):
        if is_diagonal:
            velocity[i] = metric.inverse[0, i] * momentum[i]
        else:
            row = 0.0
            for j in range(n):
                row += metric.inverse[i, j] * momentum[j]
            velocity[i] = row
        total += momentum[i] * velocity[i]
    return total


@njit
def set_momentum(metric, random, momentum):
    """A momentum with the mass matrix as its covariance: it solves factorᵀ p = normal."""
    normals(random, momentum)
    n = len(momentum)
    if len(metric.factor) == 1:
        for i in range(n):
            momentum[i] /= metric.factor[0, i]
        return
    for i in range(n - 1, -1, -1):
        total = momentum[i]
        for j in range(i + 1, n):
            total -= metric.factor[j, i] * momentum[j]
        momentum[i] = total / metric.factor[i, i]


@njit
def leapfrog(target, metric, epsilon, x, p, v, gradient, value):
    """One step of the integrator, in place; returns the density's status and the energy."""
    for i in range(len(x)):
        p[i] += 0.5 * epsilon * gradient[i]
    set_velocity(metric, p, v)
    for i in range(len(x)):
        x[i] += epsilon * v[i]
    status = evaluate(target, x, gradient, value)
    for i in range(len(x)):
        p[i] += 0.5 * epsilon * gradient[i]
    return status, 0.5 * set_velocity(metric, p, v) - value[0]


@njit
def log_sum(a, b):
    """log(exp(a) + exp(b)), where one may be -inf."""
    top = max(a, b)
    if top == -math.inf:
        return top
    return top + math.log1p(math.exp(min(a, b) - top))


# ---------------------------------------------------------------- stretches and U-turns


@njit
def copy(x, out):
    for i in range(len(x)):
        out[i] = x[i]


@njit
def set_leaf(stretch, p, v):
    """A stretch of one leaf."""
    for i in range(len(p)):
        stretch[FIRST_P, i] = stretch[LAST_P, i] = stretch[SUM, i] = p[i]
        stretch[FIRST_V, i] = stretch[LAST_V, i] = v[i]


@njit
def turn_round(stretch):
    """Let the first end be the last one."""
    for i in range(stretch.shape[1]):
        p, v = stretch[FIRST_P, i], stretch[FIRST_V, i]
        stretch[FIRST_P, i], stretch[FIRST_V, i] = stretch[LAST_P, i], stretch[LAST_V, i]
        stretch[LAST_P, i], stretch[LAST_V, i] = p, v


@njit
def merge(one, later):
    """Let `one` be both stretches; returns whether there is no U-turn in that.

    The ends must move apart along the sum of momenta: over both stretches, and over each with the
    other's nearest leaf (the extra checks of Stan 2.21, for trajectories that close in one step).
    """
    a = b = c = d = e = f = 0.0
    for i in range(one.shape[1]):
        both = one[SUM, i] + later[SUM, i]
        left = one[SUM, i] + later[FIRST_P, i]
        right = later[SUM, i] + one[LAST_P, i]
        a += one[FIRST_V, i] * both
        b += later[LAST_V, i] * both
        c += one[FIRST_V, i] * left
        d += later[FIRST_V, i] * left
        e += one[LAST_V, i] * right
        f += later[LAST_V, i] * right
    for i in range(one.shape[1]):
        one[LAST_P, i] = later[LAST_P, i]
        one[LAST_V, i] = later[LAST_V, i]
        one[SUM, i] += later[SUM, i]
    return a > 0.0 and b > 0.0 and c > 0.0 and d > 0.0 and e > 0.0 and f > 0.0


@njit
def push_leaf(stack, n_leaves, p, v):
    """Put leaf number n_leaves on the stack, merge as a counter carries; False for a U-turn."""
    top, before = 0, n_leaves - 1
    while before:  # one stretch for each bit of the number of leaves before
        top += before & 1
        before >>= 1
    set_leaf(stack[top], p, v)
    while n_leaves & 1 == 0:
        top -= 1
        n_leaves >>= 1
        if not merge(stack[top], stack[top + 1]):
            return False
    return True


# ---------------------------------------------------------------- one draw


@njit
def transition(target, state, metric, tree, epsilon, max_depth, stop, row):
    """One draw: `state` moves, `row` gets the statistics.  Returns DONE, STOPPED or FAILED."""
    random, v = state.random, tree.velocity
    set_momentum(metric, random, tree.momenta[0])
    start = 0.5 * set_velocity(metric, tree.momenta[0], v) - state.logp[0]
    for side in range(2):
        copy(state.position, tree.positions[side])
        copy(state.gradient, tree.gradients[side])
    copy(tree.momenta[0], tree.momenta[1])
    set_leaf(tree.whole, tree.momenta[0], v)
    whole_side = 1

    depth = n_steps = 0
    acceptance = log_weight = 0.0
    chosen_logp, chosen_energy = state.logp[0], start
    proposed_logp, proposed_energy = state.logp[0], start
    has_moved = is_diverging = False
    is_going_on = True
    while is_going_on and depth < max_depth:
        side = 1 if uniform(random) < 0.5 else 0
        if side != whole_side:
            turn_round(tree.whole)
            whole_side = side
        step = epsilon if side == 1 else -epsilon
        x, p, gradient = tree.positions[side], tree.momenta[side], tree.gradients[side]
        subtree_weight = -math.inf
        for leaf in range(1, (1 << depth) + 1):
            if stop[0] != 0:
                return STOPPED
            status, energy = leapfrog(target, metric, step, x, p, v, gradient, tree.value)
            if status < 0:
                state.progress[1] = status
                copy(x, tree.proposal[0])
                return FAILED
            n_steps += 1
            change = start - energy
            if not change > -MAX_ENERGY_CHANGE:  # nan too
                is_diverging, is_going_on = True, False
                break
            acceptance += math.exp(min(change, 0.0))
            subtree_weight = log_sum(subtree_weight, change)
            if uniform(random) < math.exp(change - subtree_weight):
                copy(x, tree.proposal[0])
                copy(gradient, tree.proposal[1])
                proposed_logp, proposed_energy = tree.value[0], energy
            if not push_leaf(tree.stack, leaf, p, v):
                is_going_on = False
                break
        if not is_going_on:  # nothing is chosen from a subtree that turned or diverged
            break
        depth += 1
        if uniform(random) < math.exp(min(subtree_weight - log_weight, 0.0)):
            copy(tree.proposal[0], tree.chosen[0])
            copy(tree.proposal[1], tree.chosen[1])
            chosen_logp, chosen_energy = proposed_logp, proposed_energy
            has_moved = True
        log_weight = log_sum(log_weight, subtree_weight)
        is_going_on = merge(tree.whole, tree.stack[0])
    if has_moved:
        copy(tree.chosen[0], state.position)
        copy(tree.chosen[1], state.gradient)
        state.logp[0] = chosen_logp
    row[0] = chosen_logp
    row[1] = acceptance / n_steps
    row[2] = epsilon
    row[3] = depth
    row[4] = n_steps
    row[5] = is_diverging
    row[6] = chosen_energy
    row[7] = chosen_energy - start
    return DONE


# ---------------------------------------------------------------- the step size


@njit
def restart_step(step):
    """Begin dual averaging around ten times the present step size (Stan's mu)."""
    step[1] = math.log(10.0 * step[0])
    step[2] = step[3] = step[4] = 0.0


@njit
def update_step(step, acceptance, target_accept):
    """One update of dual averaging (Hoffman and Gelman 2014, algorithm 6; gamma, t0, kappa)."""
    gamma, t0, kappa = 0.05, 10.0, 0.75
    step[4] += 1.0
    weight = 1.0 / (step[4] + t0)
    step[2] = (1.0 - weight) * step[2] + weight * (target_accept - acceptance)
    log_step = step[1] - step[2] * math.sqrt(step[4]) / gamma
    weight = step[4] ** -kappa
    step[3] = weight * log_step + (1.0 - weight) * step[3]
    step[0] = math.exp(log_step)


@njit(nogil=True, cache=True)
def find_step(target, state, metric, tree):
    """Double or halve the step size until one step's acceptance crosses 0.8.

    Returns DONE, or FAILED with the chain as before.  A step of 0 or inf: there is none.
    """
    x, p, gradient, v = tree.positions[0], tree.momenta[0], tree.gradients[0], tree.velocity
    before, first = np.empty_like(state.random), state.step[0]
    copy(state.random, before)
    direction = 0.0
    while True:
        copy(state.position, x)
        copy(state.gradient, gradient)
        set_momentum(metric, state.random, p)
        start = 0.5 * set_velocity(metric, p, v) - state.logp[0]
        status, energy = leapfrog(target, metric, state.step[0], x, p, v, gradient, tree.value)
        if status < 0:
            state.progress[1] = status
            copy(x, tree.proposal[0])
            copy(before, state.random)
            state.step[0] = first
            return FAILED
        is_good = start - energy > math.log(0.8)
        if direction == 0.0:
            direction = 1.0 if is_good else -1.0
        elif is_good != (direction > 0.0):
            break
        state.step[0] *= 2.0**direction
        if state.step[0] < 1e-300 or state.step[0] > 1e7:
            state.step[0] = 0.0 if direction < 0.0 else math.inf
            return DONE
    restart_step(state.step)
    return DONE


# ---------------------------------------------------------------- many draws


@njit(nogil=True, cache=True)
def advance(target, state, metric, tree, target_accept, max_depth, stop, positions, statistics):
    """Fill `positions` and `statistics` with draws; returns how many, and why it ended.

    target_accept  0 or less: the step size stays
    Where it ends early the chain is as before the draw that failed, random numbers included.
    """
    before = np.empty_like(state.random)
    for i in range(len(positions)):
        copy(state.random, before)
        ending = transition(
            target, state, metric, tree, state.step[0], max_depth, stop, statistics[i]
        )
        if ending != DONE:
            copy(before, state.random)
            return i, ending
        if target_accept > 0.0:
            update_step(state.step, statistics[i, 1], target_accept)
        copy(state.position, positions[i])
        state.progress[0] += 1
    return len(positions), DONE


@njit(nogil=True, cache=True)
def begin(target, state):
    """Evaluate the density where the chain is; returns the status."""
    return evaluate(target, state.position, state.gradient, state.logp)
