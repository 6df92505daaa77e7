"""Bundle adjustment: the sparse Jacobian of all residuals as CSR, in time per observation.

ADBench's ba1: 49 cameras of 11 numbers, 7,776 points of 3, 31,843 observations, each with a weight.
Rows are 2 residuals per observation and then one per weight; 29 elements per observation are no
structural zeros (31 with those of the principal point, which the block codes of JAX and torch
store).  tapejit is given the residuals of all observations, written with NumPy, once component by
component and once with arrays of vectors; JAX and torch the residuals of one, under
vmap(jacfwd), whose blocks are put into CSR with index arrays made beforehand.

Definition and data: ADBench (github.com/microsoft/ADBench, MIT); Enzyme's published figure is 245
ns per observation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks import harness
from benchmarks.matrices import Compared, facts_of, timed
from benchmarks.records import Case, Figure, Runner, Target

SUMMARY = "sparse Jacobian of bundle adjustment as CSR, per observation"
TARGETS = (Target("warm", 1.0, ("jax", "torch")),)
FIXTURES = harness.ROOT / "tests" / "fixtures" / "adbench"
MOST_NS, MOST_OFF = 500.0, 1e-10
STYLES = ("components", "vectors")
FIGURES = {
    **{f"ba1, {style}": f"<= {MOST_NS:g} ns an observation" for style in STYLES},
    "agreement with ADBench": f"<= {MOST_OFF:g}",
}


def cases(quick: bool) -> list[Case]:
    """ba1 in two styles, or its first 2,000 observations in one."""
    p, styles = (2_000, STYLES[:1]) if quick else (31_843, STYLES)
    return [Case(f"{p:,}, {style}", ({"p": p, "style": style},), per=p) for style in styles]


def inputs(settings: dict, draw: int) -> tuple:
    """Cameras, points, weights, observations, features; those of ba1, moved in further draws."""
    n, m, p, *numbers = (FIXTURES / "ba1.txt").read_text().split()
    n, m, p = int(n), int(m), min(int(p), settings["p"])
    camera, point, weight, feature = np.split(np.array(numbers, float), (11, 14, 15))
    i = np.arange(p)
    arrays = np.tile(camera, (n, 1)), np.tile(point, (m, 1)), np.repeat(weight, p)
    if draw:
        rng = np.random.default_rng(draw)
        arrays = tuple(a * rng.uniform(0.99, 1.01, a.shape) for a in arrays)
        i = rng.permutation(p)
    return (*arrays, np.stack([i % n, i % m], axis=1), np.tile(feature, (p, 1)))


# ---------------------------------------------------------------- residuals


def projected(xp, cam, x):
    """A point as a camera sees it; the components of both are numbers or arrays."""
    theta = xp.sqrt(cam[0] ** 2 + cam[1] ** 2 + cam[2] ** 2)
    cosine, sine = xp.cos(theta), xp.sin(theta)
    a, b, c = cam[0] / theta, cam[1] / theta, cam[2] / theta
    p, q, r = x[0] - cam[3], x[1] - cam[4], x[2] - cam[5]
    along = (a * p + b * q + c * r) * (1 - cosine)
    z = r * cosine + (a * q - b * p) * sine + c * along
    u = (p * cosine + (b * r - c * q) * sine + a * along) / z
    v = (q * cosine + (c * p - a * r) * sine + b * along) / z
    square = u * u + v * v
    bent = cam[6] * (1 + cam[9] * square + cam[10] * square * square)
    return u * bent + cam[7], v * bent + cam[8]


def of_components(cams, points, w, obs, feats):
    """All residuals, component by component."""
    u, v = projected(np, cams[obs[:, 0]].T, points[obs[:, 1]].T)
    errors = w * (u - feats[:, 0]), w * (v - feats[:, 1])
    return np.stack(errors, axis=1), 1 - w * w


def of_vectors(cams, points, w, obs, feats):
    """All residuals, with arrays of vectors."""
    cam = cams[obs[:, 0]]
    p = points[obs[:, 1]] - cam[:, 3:6]
    theta = np.sqrt(np.sum(cam[:, :3] ** 2, axis=1, keepdims=True))
    axis = cam[:, :3] / theta
    along = np.sum(axis * p, axis=1, keepdims=True) * (1 - np.cos(theta))
    turned = p * np.cos(theta) + np.cross(axis, p) * np.sin(theta) + axis * along
    u = turned[:, :2] / turned[:, 2:]
    square = np.sum(u * u, axis=1, keepdims=True)
    bent = u * (1 + cam[:, 9:10] * square + cam[:, 10:] * square**2)
    return w[:, None] * (cam[:, 6:7] * bent + cam[:, 7:9] - feats), 1 - w * w


def of_one(xp) -> Callable:
    """The two residuals of one observation."""

    def residuals(cam, point, weight, feature):
        u, v = projected(xp, cam, point)
        return xp.stack([weight * (u - feature[0]), weight * (v - feature[1])])

    return residuals


# ---------------------------------------------------------------- peers


def _jacobian(settings: dict) -> Callable:
    import tapejit as tj

    styles = {"components": of_components, "vectors": of_vectors}
    return tj.jacobian(styles[settings["style"]], argnums=(0, 1, 2), sparse=True)


def _tapejit(settings: dict) -> Runner:
    def make():
        jacobian = _jacobian(settings)

        def call(*args):
            matrix = jacobian(*args)
            return Compared(lambda: matrix)

        return call

    return Runner(make, calls_until_compiled=2)


def _from_blocks(compute: Callable, obs, n_cameras: int, n_points: int) -> Callable:
    """The call that makes CSR of (p, 2, 15) blocks and then p slopes of weights, as one vector."""
    from scipy import sparse

    p, i = len(obs), np.arange(len(obs))
    columns = [11 * obs[:, :1] + np.arange(11), 11 * n_cameras + 3 * obs[:, 1:] + np.arange(3)]
    of_weights = 11 * n_cameras + 3 * n_points + i
    block = np.concatenate([*columns, of_weights[:, None]], axis=1)
    indices = np.concatenate([np.repeat(block, 2, axis=0).ravel(), of_weights]).astype(np.int32)
    starts = np.append(np.arange(0, 30 * p, 15), 30 * p + np.arange(p + 1)).astype(np.int32)
    shape = (3 * p, 11 * n_cameras + 3 * n_points + p)

    def call(*args):
        matrix = sparse.csr_array((np.asarray(compute(*args)), indices, starts), shape)
        return Compared(lambda: matrix)

    return call


def _with_places(function: Callable) -> Callable:
    """The index arrays of CSR are made once for each array of observations."""
    known: dict = {}

    def call(*args):
        obs = args[-1]
        if id(obs) not in known:
            known.clear()
            made = _from_blocks(function, obs, len(args[0]), len(args[1]))
            known[id(obs)] = made, obs
        return known[id(obs)][0](*args[:-1])

    return call


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp

    def make():
        of_all = jax.vmap(jax.jacfwd(of_one(jnp), argnums=(0, 1, 2)))

        @jax.jit
        def compute(cams, points, w, cameras, places, feats):
            by_cam, by_point, by_weight = of_all(cams[cameras], points[places], w, feats)
            blocks = jnp.concatenate([by_cam, by_point, by_weight[:, :, None]], axis=2)
            return jnp.concatenate([blocks.ravel(), -2 * w])

        return _with_places(compute)

    def load(inputs):
        *arrays, obs, feats = inputs
        cameras, places = obs.T
        return (*map(jax.device_put, (*arrays, cameras, places, feats)), obs)

    return Runner(make, load)


def _torch(settings: dict) -> Runner:
    import torch

    def make():
        of_all = torch.func.vmap(torch.func.jacfwd(of_one(torch), argnums=(0, 1, 2)))

        def compute(cams, points, w, cameras, places, feats):
            by_cam, by_point, by_weight = of_all(cams[cameras], points[places], w, feats)
            blocks = torch.cat([by_cam, by_point, by_weight[:, :, None]], dim=2)
            return torch.cat([blocks.ravel(), -2 * w])

        return _with_places(compute)

    def load(inputs):
        *arrays, obs, feats = inputs
        cameras, places = np.ascontiguousarray(obs.T)
        return (*map(torch.tensor, (*arrays, cameras, places, feats)), obs)

    return Runner(make, load)


PEERS = {"tapejit": _tapejit, "jax": _jax, "torch": _torch}

# ---------------------------------------------------------------- figures


def facts(settings: dict) -> dict:
    """Times and sweeps, and the distance from ADBench's block."""
    import tapejit as tj

    args, jacobian = inputs(settings, 0), _jacobian(settings)
    first_s, warm_s = timed(lambda: jacobian(*args))
    matrix, obs = jacobian(*args), args[3]
    block = np.load(FIXTURES / "ba1.npz")["block"][0]
    n, m, p = len(args[0]), len(args[1]), len(obs)
    off = 0.0
    for row in (0, 1):
        for column, wanted in enumerate(block[row]):
            columns = np.select(
                [column < 11, column < 14],
                [11 * obs[:, 0] + column, 11 * n + 3 * obs[:, 1] + column - 11],
                11 * n + 3 * m + np.arange(p),
            )
            found = np.asarray(matrix[2 * np.arange(p) + row, columns])
            off = max(off, float(np.max(np.abs(found - wanted)) / max(1.0, abs(wanted))))
    sweeps = tj.explain(jacobian).paths[0].sweeps[0]
    return {"first_s": first_s, "warm_s": warm_s, "off": off, "sweeps": sweeps, "p": p}


def figures(quick: bool, cpu: int, say: Callable) -> list[Figure]:
    """Time per observation in each style, and agreement; not in a quick run."""
    if quick:
        return []
    p = 31_843
    found = {style: facts_of("bundle", {"p": p, "style": style}) for style in STYLES}
    rows = []
    for style, numbers in found.items():
        ns, name = 1e9 * numbers["warm_s"] / p, f"ba1, {style}"
        value = f"{ns:.0f} ns an observation, first call {numbers['first_s']:.2f} s"
        word = "met" if ns <= MOST_NS else "missed"
        rows.append(Figure(name, value, FIGURES[name], word, numbers))
        say(f"  {name}: {value}; {numbers['sweeps']}")
    off = max(numbers["off"] for numbers in found.values())
    name = "agreement with ADBench"
    word = "met" if off <= MOST_OFF else "wrong"
    return [*rows, Figure(name, f"{off:.1g}", FIGURES[name], word, {"off": off})]
