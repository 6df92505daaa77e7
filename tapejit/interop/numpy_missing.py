"""What an unsupported NumPy function says: which supported ones come nearest.

Nearest by meaning where `MEANINGS` knows (a fit is a solve), else by spelling.
"""

from __future__ import annotations

import difflib

from tapejit.errors import TraceError
from tapejit.interop.numpy_words import name_of
from tapejit.tensor.front import FOR_NUMPY

MEANINGS = {
    "np.array_repr": "repr(x)",
    "np.array_str": "str(x)",
    "np.array2string": "str(x)",
    "np.choose": "np.where np.take_along_axis",
    "np.copyto": "x.copy_ np.where",
    "np.einsum_path": "np.einsum",
    "np.fill_diagonal": "np.where np.eye",
    "np.frexp": "np.log2 np.exp2",
    "np.gcd": "np.remainder",
    "np.histogram": "np.bincount np.searchsorted",
    "np.histogram2d": "np.bincount np.searchsorted",
    "np.histogramdd": "np.bincount np.searchsorted",
    "np.histogram_bin_edges": "np.linspace",
    "np.lcm": "np.remainder",
    "np.ldexp": "np.exp2 np.multiply",
    "np.nextafter": "np.add",
    "np.place": "np.where x.masked_fill_",
    "np.polydiv": "np.polyval",
    "np.put": "x[places] = values",
    "np.put_along_axis": "x[places] = values np.where",
    "np.putmask": "np.where",
    "np.roots": "np.polyval",
    "np.save": "x.detach().numpy()",
    "np.savetxt": "x.detach().numpy()",
    "np.savez": "x.detach().numpy()",
    "np.savez_compressed": "x.detach().numpy()",
    "np.spacing": "np.abs",
    "np.trim_zeros": "np.nonzero",
    "np.lib.stride_tricks.sliding_window_view": "np.stack np.convolve",
    "np.shares_memory": "x.data_ptr()",
    "np.may_share_memory": "x.data_ptr()",
    "np.require": "x.contiguous() x.to(dtype)",
    "np.vectorize": "np.where",
}
"""Names whose nearest in meaning is not nearest in spelling; expressions of tensors too."""


def nearest(name: str) -> list[str]:
    """Supported functions, or expressions of a tensor x, that may do instead of np.`name`."""
    supported = sorted({name_of(function) for function in FOR_NUMPY})
    meant = [m for m in MEANINGS.get(name, "").split() if m in supported]
    if name in MEANINGS and not meant:
        return [MEANINGS[name]]
    own = name.rpartition(".")[2]
    by_own_name = {s.rpartition(".")[2]: s for s in reversed(supported)}
    spelt = difflib.get_close_matches(own, by_own_name, n=3, cutoff=0.6)
    return meant or [by_own_name[s] for s in spelt]


def missing(name: str) -> TraceError:
    """The error for a NumPy function that has no rule for tensors."""
    near = nearest(name)
    near_text = f"{', '.join(near)}; else " if near else ""
    return TraceError(
        f"{name} has no rule for tensors\n"
        f"  try  {near_text}x.detach().numpy() where no derivative is needed "
        "(docs/numpy.md lists what has a rule)"
    )
