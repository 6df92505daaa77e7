"""Why a call was recorded again: what tells it from the nearest call that is known.

A signature is taken apart into facts ("argument 1" has "shape" (3,)); the known one with the
fewest other facts is the nearest, and its differences are the reason: ``argument 1: shape (3,) ->
(4,)``.  Of paths with the same signature the nearest is the one with the fewest guards that fail,
or, where all hold, the one that agrees longest with what Python read: ``x.item() at model.py:12
read 2.0, known 1.0``.

Start at `reason`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tapejit.shapes import CPU
from tapejit.sites import describe_site
from tapejit.transforms import trees

COMPARED = 4
"""Paths and signatures that a new one is compared with: those taken last."""

Facts = dict[tuple[str, str], str]
"""(place, aspect) -> text: ("argument 0", "dtype") -> "float64"."""


def reason(signature: tuple, known: Iterable[tuple], paths: Sequence, arrays, miss) -> str:
    """Why a call is recorded, in words.

    known  the other signatures there are
    paths  those of this signature, the one taken last first
    miss   (path, what the call read up to the first difference) of the path that came closest
    """
    if paths:
        found = [_differences(path, arrays) for path in paths[:COMPARED]]
        least = min(found, key=lambda lines: (not lines, len(lines)))
        return "; ".join(least) if least else describe_miss(miss)
    facts = facts_of(signature)
    others = [_changes(facts_of(other), facts) for other in list(known)[-COMPARED:]]
    if not others:
        return "first call"
    return "; ".join(min(others, key=len)) or "another call of the same signature"


def _differences(path, arrays) -> list[str]:
    """What keeps a path from being taken, apart from what Python reads of tensors."""
    changed = path.reads.differences()
    if path.layouts is not None:
        for i, (old, array) in enumerate(zip(path.layouts, arrays, strict=True)):
            if old != (new := getattr(array, "strides", ())):
                changed.append(f"array {i} of the arguments: strides {old} -> {new}")
    return changed


def describe_miss(miss) -> str:
    """The first value that Python read otherwise than on the nearest path."""
    if miss is None:
        return "another branch was taken"
    path, read = miss
    i = len(read) - 1
    return f"{describe_read(path.sites[i])} read {_short(read[i])}, known {_short(path.guards[i])}"


def describe_read(site) -> str:
    """`if x > 0: at model.py:12`"""
    place, _, text = describe_site(site).partition("  ")
    return f"{text} at {place}" if text else place


def _short(value) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else text[:37] + "..."


# ---------------------------------------------------------------- signatures


class _Label(str):
    """A leaf in the text of a signature."""

    def __repr__(self):
        return str(self)


def describe_signature(signature: tuple) -> str:
    """The arguments of a signature with shapes and dtypes in place of values."""
    structure, leaves, *_ = signature
    args, kwargs = trees.unflatten(structure, [_Label(_describe_leaf(leaf)) for leaf in leaves])
    return ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])


def _describe_leaf(leaf) -> str:
    if isinstance(leaf, tuple):
        *kind, shape, dtype = leaf
        where = f"@{kind[0]}" if kind and isinstance(kind[0], str) else ""
        return f"{dtype}{list(shape)}{where}"
    return leaf.__name__ if isinstance(leaf, type) else repr(leaf)


def facts_of(signature: tuple) -> Facts:
    """All that a signature says, place by place."""
    structure, leaves, *default_dtype = signature
    facts: Facts = {}
    for dtype in default_dtype:
        facts["default dtype", ""] = str(dtype)
    remaining = iter(leaves)
    args, kwargs = structure.children
    for i, child in enumerate(args.children):
        _add_facts(facts, f"argument {i}", child, remaining)
    for name, child in zip(kwargs.names, kwargs.children, strict=True):
        _add_facts(facts, f"argument '{name}'", child, remaining)
    return facts


def _add_facts(facts: Facts, place: str, structure, leaves) -> None:
    if structure == trees.LEAF:
        _add_leaf(facts, place, next(leaves))
    elif isinstance(structure, trees.Static):
        facts[place, ""] = repr(trees.value_of(structure))
    else:
        container, names, children, kinds = structure
        keys = names or range(len(children))
        facts[place, ""] = container.__name__
        facts[place, "keys" if names else "length"] = str(list(names) if names else len(children))
        if kinds:
            facts[place, "types of keys"] = str([kind.__name__ for kind, _ in kinds])
        for key, child in zip(keys, children, strict=True):
            _add_facts(facts, f"{place}[{key!r}]", child, leaves)


def _add_leaf(facts: Facts, place: str, leaf) -> None:
    if leaf is float:
        facts[place, ""] = "float"
        return
    if isinstance(leaf, tuple):
        *kind, shape, dtype = leaf
        facts[place, ""] = getattr(kind[0], "__name__", f"on {kind[0]}") if kind else "ndarray"
    else:
        shape, dtype = leaf.shape, leaf.dtype
        facts[place, ""] = "Tensor" if leaf.device == CPU else f"Tensor on {leaf.device}"
    facts[place, "shape"], facts[place, "dtype"] = str(tuple(shape)), str(dtype)


def _changes(old: Facts, new: Facts) -> list[str]:
    """What differs, most telling first: nothing is said of what lies in a part that changed."""
    changes = []
    for (place, aspect), text in new.items():
        before = old.get((place, aspect))
        if before == text or (place, "") not in old:
            continue
        if before is not None:
            changes.append(f"{place}: {aspect + ' ' if aspect else ''}{before} -> {text}")
    places = {place for place, _ in old}, {place for place, _ in new}
    changes += [f"{place}: is new" for place in sorted(places[1] - places[0])]
    changes += [f"{place}: is gone" for place in sorted(places[0] - places[1])]
    return changes
