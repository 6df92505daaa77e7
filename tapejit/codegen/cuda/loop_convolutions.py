"""Convolutions on a GPU: the value, and the slopes by input and by weights.

All three are products of matrices (loop_products.py) whose elements are looked up when they are
needed, so nothing is written out (implicit im2col).

              rows of the product    columns                along which is summed
    value     result's channels      windows of all images  taps, of all channels
    by input  channels               places of all images   taps, of all the result's channels
    by weight result's channels      taps, of all channels  windows of all images

Groups are products of their own.

`sizes` is what every look-up is told: (images, groups, channels, rows), then for three spatial axes
the lengths of x, the windows, and the kernel's lengths, strides, paddings and dilations.  Channels
and rows (the result's channels) are those of one group: x is (images, groups, channels, lengths),
y is (images, groups, rows, windows), w is (groups, rows, channels, kernel).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tapejit.codegen.cuda.loop_products import products_of
from tapejit.codegen.cuda.texts import Recipe
from tapejit.codegen.cuda.words import number
from tapejit.plan import LoopStep

# ---------------------------------------------------------------- look-ups


def by_axis(sizes):
    """Lengths, windows; the kernel's lengths, strides, paddings, dilations."""
    return sizes[4:7], sizes[7:10], sizes[10:13], sizes[13:16], sizes[16:19], sizes[19:22]


def seen(x, group, window, tap, sizes):
    """What a window sees at a tap; in the padding 0."""
    _, groups, channels, _ = sizes[:4]
    n, o, k, s, p, d = by_axis(sizes)
    line, plane = window // o[2], window // (o[1] * o[2])
    image = plane // o[0]
    tap_line, tap_plane = tap // k[2], tap // (k[1] * k[2])
    channel = tap_plane // k[0]
    i = (plane - image * o[0]) * s[0] - p[0] + (tap_plane - channel * k[0]) * d[0]
    j = (line - plane * o[1]) * s[1] - p[1] + (tap_line - tap_plane * k[1]) * d[1]
    l = (window - line * o[2]) * s[2] - p[2] + (tap - tap_line * k[2]) * d[2]
    value = number(0)
    if i >= 0 and i < n[0] and j >= 0 and j < n[1] and l >= 0 and l < n[2]:
        at = (image * groups + group) * channels + channel
        value = x[((at * n[0] + i) * n[1] + j) * n[2] + l]
    return value


def seen_at(x, group, tap, window, sizes):
    return seen(x, group, window, tap, sizes)


def seeing(y, group, tap, place, sizes):
    """The window that sees a place at a tap, of y; 0 where there is none."""
    _, groups, _, rows = sizes[:4]
    n, o, k, s, p, d = by_axis(sizes)
    line, plane = place // n[2], place // (n[1] * n[2])
    image = plane // n[0]
    tap_line, tap_plane = tap // k[2], tap // (k[1] * k[2])
    row = tap_plane // k[0]
    i = plane - image * n[0] + p[0] - (tap_plane - row * k[0]) * d[0]
    j = line - plane * n[1] + p[1] - (tap_line - tap_plane * k[1]) * d[1]
    l = place - line * n[2] + p[2] - (tap - tap_line * k[2]) * d[2]
    value = number(0)
    if i >= 0 and j >= 0 and l >= 0:
        u, v, w = i // s[0], j // s[1], l // s[2]
        is_begun = u * s[0] == i and v * s[1] == j and w * s[2] == l
        if is_begun and u < o[0] and v < o[1] and w < o[2]:
            at = (image * groups + group) * rows + row
            value = y[((at * o[0] + u) * o[1] + v) * o[2] + w]
    return value


def result(y, group, row, window, sizes):
    return y[place_of_result(group, row, window, sizes)]


def weight(w, group, row, tap, sizes):
    return w[place_of_weight(group, row, tap, sizes)]


def weight_turned(w, group, channel, tap, sizes):
    """Taps of all the result's channels."""
    _, _, channels, rows = sizes[:4]
    k = sizes[10:13]
    n_taps = k[0] * k[1] * k[2]
    row = tap // n_taps
    at = (group * rows + row) * channels + channel
    return w[at * n_taps + tap - row * n_taps]


def place_of_result(group, row, window, sizes):
    _, groups, _, rows = sizes[:4]
    o = sizes[7:10]
    size = o[0] * o[1] * o[2]
    image = window // size
    return ((image * groups + group) * rows + row) * size + window - image * size


def place_of_input(group, channel, place, sizes):
    _, groups, channels, _ = sizes[:4]
    n = sizes[4:7]
    size = n[0] * n[1] * n[2]
    image = place // size
    return ((image * groups + group) * channels + channel) * size + place - image * size


def place_of_weight(group, row, tap, sizes):
    _, _, channels, rows = sizes[:4]
    k = sizes[10:13]
    return (group * rows + row) * channels * k[0] * k[1] * k[2] + tap


# ---------------------------------------------------------------- launches


def value(recipe: Recipe, step: LoopStep) -> None:
    """convolution(x, w)"""
    x, w, y = recipe.views
    sizes = _sizes(step, step.views[0].shape, step.views[1].shape, step.views[2].shape)
    images, _, channels, rows = sizes[:4]
    summed = channels * math.prod(sizes[10:13])
    extent = rows, images * math.prod(sizes[7:10]), summed
    _multiply(recipe, (w, x, y), sizes, extent, weight, seen_at, place_of_result)


def by_input(recipe: Recipe, step: LoopStep) -> None:
    """convolution_input(y, w)"""
    y, w, x = recipe.views
    sizes = _sizes(step, step.views[2].shape, step.views[1].shape, step.views[0].shape)
    images, _, channels, rows = sizes[:4]
    summed = rows * math.prod(sizes[10:13])
    extent = channels, images * math.prod(sizes[4:7]), summed
    _multiply(recipe, (w, y, x), sizes, extent, weight_turned, seeing, place_of_input)


def by_weight(recipe: Recipe, step: LoopStep) -> None:
    """convolution_weight(y, x)"""
    y, x, w = recipe.views
    sizes = _sizes(step, step.views[1].shape, step.views[2].shape, step.views[0].shape)
    images, _, channels, rows = sizes[:4]
    columns = channels * math.prod(sizes[10:13])
    extent = rows, columns, images * math.prod(sizes[7:10])
    _multiply(recipe, (y, x, w), sizes, extent, result, seen, place_of_weight)


def _sizes(step, x, w, y) -> tuple[int, ...]:
    """What the look-ups are told, of shapes with up to three spatial axes."""
    known = step.kind.attributes()
    groups = known["groups"]
    return (
        x[0], groups, x[1] // groups, y[1] // groups, *_three(x[2:], 1), *_three(y[2:], 1),
        *_three(w[2:], 1), *_three(known["stride"], 1), *_three(known["padding"], 0),
        *_three(known["dilation"], 1),
    )  # fmt: skip


def _three(numbers, fill):
    return (*[fill] * (3 - len(numbers)), *numbers)


def _multiply(
    recipe: Recipe, areas: tuple, sizes: tuple, extent: tuple, left: Callable, right: Callable,
    place: Callable,
) -> None:  # fmt: skip
    recipe.extents += [n + 2 * p for n, p in zip(sizes[4:7], sizes[16:19], strict=True)]
    (m, n, _), groups = extent, sizes[1]
    look_ups = {"left_at": left, "right_at": right, "put_at": place}
    products_of(recipe, areas, (groups, *extent), groups * m * n, [sizes], look_ups)
