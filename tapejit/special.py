"""PyTorch's `special` namespace: functions of mathematical physics and statistics.

Functions take NumPy arrays too and answer in kind.  Most are records of `tapejit.ops`, published
at top level as well or, under a name like "special.entr", here alone; those written out below are
compositions.
"""

from __future__ import annotations

from tapejit.tensor.arithmetic import IN_SPACES
from tapejit.tensor.front import FUNCTIONS

__all__ = ["expit", *IN_SPACES["special"]]
_SAME = (
    "erf", "erfc", "exp2", "expm1", "log1p", "log_softmax", "logit", "logsumexp", "round", "sinc",
    "softmax", "xlogy",
)  # fmt: skip
__all__ += _SAME

expit = FUNCTIONS["sigmoid"]
globals().update(IN_SPACES["special"])
globals().update({name: FUNCTIONS[name] for name in _SAME})
