"""Every record of the registry is complete: words, probe, names that exist elsewhere, rules."""

from __future__ import annotations

import numpy as np
import probing
import pytest

import tapejit
from tapejit.errors import DeclarationError
from tapejit.families import elementwise, operation
from tapejit.registry import OPS, Op
from tapejit.shapes import aval

EVERY = list(OPS.values())
PROBED = probing.probed()
RULES = {
    "promote", "float", "compare", "predicate", "logical", "where", "keep", "need_float", "first",
    "index", "index_put",
}  # fmt: skip
RULE_IN_AUTODIFF = {"where"}  # its cotangents carry masks


@pytest.mark.parametrize("op", EVERY, ids=str)
def test_words(op: Op):
    assert op.summary.endswith(".") and op.summary[0] != " " and "\n" not in op.summary
    assert not op.note or op.note.endswith(".")
    assert op.rule in RULES
    assert op.bools in ("taken", "refused", "refused alone")
    assert op.version >= 1


@pytest.mark.parametrize("op", EVERY, ids=str)
def test_codes_and_names(op):
    assert OPS[op.name] is op
    assert [o.code for o in EVERY].count(op.code) == 1


@pytest.mark.parametrize("op", PROBED, ids=str)
def test_the_probe_can_be_run(op):
    assert probing.cases(op)
    for low, high in (
        op.probe.domain if isinstance(op.probe.domain[0], tuple) else [op.probe.domain]
    ):
        assert low < high
    assert 0 < op.probe.tolerance <= 1e-4


@pytest.mark.parametrize("op", PROBED, ids=str)
def test_floats_have_a_derivative(op):
    """A float result of floats has a rule, or a decomposition that has; slopes name the node."""
    if not any(map(probing.is_differentiable, probing.cases(op))) or op.name in RULE_IN_AUTODIFF:
        return
    assert op.partials or op.vjp or op.decompose or op.linear
    if op.vjp:
        assert op.jvp or op.linear, "a cotangent rule needs a tangent rule beside it"


@pytest.mark.parametrize("op", [op for op in PROBED if op.alias.numpy], ids=str)
def test_numpy_has_the_name(op):
    assert callable(getattr(np, op.alias.numpy))


@pytest.mark.parametrize("op", [op for op in PROBED if op.alias.torch], ids=str)
def test_torch_and_tapejit_have_the_name(op):
    torch = pytest.importorskip("torch")
    name = op.alias.torch
    for module in (torch, tapejit):
        space, _, own = name.rpartition(".")
        home = getattr(module, space) if space else module
        assert callable(getattr(home, own, None) or getattr(module.nn.functional, own))


def test_operators_are_pythons():
    for op in EVERY:
        if op.alias.operator:
            assert hasattr(tapejit.Tensor, f"__{op.alias.operator}__"), op


def test_a_name_is_declared_once():
    with pytest.raises(DeclarationError, match="sin is declared twice"):
        elementwise("sin", summary="Again.", code="math.sin(x)")


def test_families_have_their_own_function():
    with pytest.raises(DeclarationError, match="use the elementwise family function"):
        operation(
            "nonsense", "elementwise", summary="None.", infer=lambda a: aval((), None), evaluate=abs
        )


def test_a_value_text_outside_the_language_is_refused():
    with pytest.raises(DeclarationError, match="not part of the expression language"):
        elementwise("nonsense", summary="None.", code="os.system(x)")
    assert "nonsense" not in OPS
