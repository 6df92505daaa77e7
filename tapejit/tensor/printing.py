"""What ``repr(tensor)`` says: PyTorch's text for an array, its dtype, device and place in a graph.

The idea: three steps, each over plain lists of strings.  *Pick* the elements that will be shown
(all, or the first and last few of each axis), *write* every one of them in a single shared style,
*lay* the texts out in nested rows.  The style is decided once, from the picked elements only:

    all finite nonzero values are whole   -> ``3.``     (a bare point marks a float)
    otherwise                             -> ``3.4180`` (`precision` digits)
    largest/smallest > 1000, or too large, or too small -> ``3.4180e+00``

Start reading at `format_tensor`; `_float_style` holds the rules about numbers, `_lay_out` the rules
about rows.  This file knows no Tensor: the caller hands over an array and the facts to print, so
the same text serves tensors, tapes and error messages.

Real and imaginary parts of complex numbers each have a style.

Not done here: quantised dtypes, and per-tensor options.

The rules were found by experiment against torch 2.13 and are held by tests/test_printing.py, which
compares with torch itself.  Its oddities are kept on purpose: zeros, nan and inf never
widen a column, and an empty int64 tensor names its dtype although a full one does not.  With no
edge items torch states the size of full tensors, cut or not; so do we.
Departure: an unknown profile is an error here, and is ignored by torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf

import numpy as np

from tapejit.errors import DtypeError

PREFIX = "tensor("
INDENT = len(PREFIX)

# Above this ratio of magnitudes, or outside these magnitudes, plain digits give way to exponents.
LARGEST_RATIO = 1000.0
LARGEST_PLAIN = 1.0e8
SMALLEST_PLAIN = 1.0e-4


# ---------------------------------------------------------------- options


@dataclass
class PrintOptions:
    """Settings of `set_printoptions`; `sci_mode` None lets the values decide."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": inf, "edgeitems": 3, "linewidth": 80},
}

_options = PrintOptions()


def get_printoptions() -> dict[str, int | float | bool | None]:
    """The current print settings, by name."""
    return dict(vars(_options))


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Choose how tensors are printed; what is not given stays, except `sci_mode`.

    `precision`  digits after the point (4)
    `threshold`  with more elements than this only the edges are shown (1000)
    `edgeitems`  how many elements each edge shows (3)
    `linewidth`  columns per line (80)
    `profile`    "default", "short" or "full", taken before the other arguments
    `sci_mode`   True or False forces exponents on or off; None, also when left out: automatic

    Errors  ValueError if the profile is unknown
    Like    torch.set_printoptions

    >>> import tapejit as tj
    >>> tj.set_printoptions(precision=2)
    >>> tj.tensor([0.12345])
    tensor([0.12])
    >>> tj.set_printoptions(profile="default")
    """
    if profile is not None:
        if profile not in PROFILES:
            raise ValueError(f"set_printoptions: profile {profile!r} is not one of {[*PROFILES]}")
        vars(_options).update(PROFILES[profile])
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    vars(_options).update({name: value for name, value in given.items() if value is not None})
    _options.sci_mode = sci_mode


# ---------------------------------------------------------------- one element


def _float_style(values: np.ndarray) -> tuple[Callable[[float], str], int]:
    """How every one of these float64 values is written, and the column's width."""
    digits = _options.precision
    weights = np.abs(values[np.isfinite(values) & (values != 0)])
    if weights.size == 0:
        return _write_whole, 1
    whole = bool((weights == np.floor(weights)).all())
    if _options.sci_mode is None:
        low, high = float(weights.min()), float(weights.max())
        exponents = (
            high / low > LARGEST_RATIO
            or high > LARGEST_PLAIN
            or (not whole and low < SMALLEST_PLAIN)
        )
    else:
        exponents = _options.sci_mode
    if exponents:
        write: Callable[[float], str] = f"{{:.{digits}e}}".format
    elif whole:
        write = _write_whole
    else:
        write = f"{{:.{digits}f}}".format
    # Only finite nonzero values set the width: nan and inf may stick out (as in torch).
    shown = values[np.isfinite(values) & (values != 0)]
    return write, max(map(len, map(write, shown.tolist())))


def _write_whole(value: float) -> str:
    text = f"{value:.0f}"
    return text if text[-1] in "fn" else text + "."  # inf and nan take no point


def _write_all(picked: np.ndarray) -> tuple[list[str], int]:
    """The texts of all elements, padded on the left to one width; and that width."""
    kind = picked.dtype.kind
    if kind == "c":
        return _write_complex(picked)
    if kind == "f":
        values = picked.astype(np.float64, copy=False).ravel()
        write, width = _float_style(values)
        texts = [write(value) for value in values.tolist()]
    elif kind in "iub":
        texts = [str(value) for value in picked.ravel().tolist()]
        width = max(map(len, texts))
    else:
        raise DtypeError(f"print: a tensor of dtype {picked.dtype} has no printed form")
    return [text.rjust(width) for text in texts], width


def _write_complex(picked: np.ndarray) -> tuple[list[str], int]:
    """The texts of complex elements: both parts, the imaginary one with its sign."""
    (reals, width), (imaginaries, other) = _write_all(np.real(picked)), _write_all(np.imag(picked))
    signed = (text.lstrip() for text in imaginaries)
    texts = [
        f"{re}{'' if im[0] in '+-' else '+'}{im}j" for re, im in zip(reals, signed, strict=True)
    ]
    return texts, width + other + 1


# ---------------------------------------------------------------- rows


def _pick(array: np.ndarray, edge: int) -> np.ndarray:
    """The elements that a summary shows: at most `edge` at either end of each axis."""
    for axis, length in enumerate(array.shape):
        if length > 2 * edge:
            ends = np.r_[0:edge, length - edge : length]
            array = array.take(ends, axis=axis)
    return array


def _lay_out(
    texts: Iterator[str], shape: tuple[int, ...], edge: float, width: int, indent: int
) -> str:
    """Nested rows of the next texts; axes longer than two edges get an ellipsis between them."""
    length = shape[0]
    cut = length > 2 * edge
    n_shown = int(2 * edge) if cut else length
    if len(shape) == 1:
        parts = [next(texts) for _ in range(n_shown)]
        if cut:
            parts.insert(n_shown // 2, " ...")
        per_line = max(1, (_options.linewidth - indent) // (width + 2))
        lines = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = [_lay_out(texts, shape[1:], edge, width, indent + 1) for _ in range(n_shown)]
    if cut:
        parts.insert(n_shown // 2, "...")
    return "[" + ("," + "\n" * (len(shape) - 1) + " " * (indent + 1)).join(parts) + "]"


def _write_body(array: np.ndarray) -> str:
    """The text between ``tensor(`` and the suffixes."""
    if array.size == 0:
        return "[]"
    edge: float = inf
    if array.size > _options.threshold and array.ndim > 0:
        edge = _options.edgeitems
        if edge == 0:
            return "[...]"
        array_shown = _pick(array, int(edge))
    else:
        array_shown = array
    texts, width = _write_all(array_shown)
    if array.ndim == 0:
        return texts[0]
    return _lay_out(iter(texts), array.shape, edge, width, INDENT)


def _add_suffixes(body: str, suffixes: list[str]) -> str:
    """Append the suffixes, each on a new line where the current one would grow too long."""
    text = PREFIX + body
    column = len(text) - text.rfind("\n") + 1  # two more than the line is long, as torch counts
    for suffix in suffixes:
        if column + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * INDENT + suffix
            column = INDENT + len(suffix)
        else:
            text += ", " + suffix
            column += len(suffix) + 2
    return text + ")"


# ---------------------------------------------------------------- the doors


def format_tensor(
    array: np.ndarray,
    *,
    dtype_name: str,
    default_float: str,
    requires_grad: bool = False,
    grad_fn_name: str | None = None,
    device: str | None = None,
) -> str:
    """Exactly what torch prints for this array.

    `dtype_name` and `default_float` are bare names ("float64"); `device` is None for the CPU.
    A `grad_fn_name` takes the place of ``requires_grad=True``.

    Errors  DtypeError for anything but numbers and bools
    Like    repr(torch.Tensor)

    >>> format_tensor(np.array([1.0, 2.5]), dtype_name="float64", default_float="float32")
    'tensor([1.0000, 2.5000], dtype=torch.float64)'
    """
    array = np.asarray(array)
    body = _write_body(array)
    suffixes = []
    if device is not None:
        suffixes.append(f"device='{device}'")
    if array.ndim != 1 if array.size == 0 else _options.edgeitems == 0:
        suffixes.append(f"size={array.shape}")
    default_complex = "complex128" if default_float == "float64" else "complex64"
    silent = (default_float, "int64", "bool", default_complex)[: 1 if array.size == 0 else 4]
    if dtype_name not in silent:
        suffixes.append(f"dtype=torch.{dtype_name}")
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    return _add_suffixes(body, suffixes)


def format_scalar(array: np.ndarray, spec: str = "") -> str:
    """What ``f"{tensor:spec}"`` says for a 0-d tensor: its Python number, formatted.

    >>> format_scalar(np.array(6.691762447357178), ".2f")
    '6.69'
    """
    return format(array.item(), spec)
