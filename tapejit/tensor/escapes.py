"""Numbers that leave a tensor unasked, and with them its derivative.

``y[i] = x`` into a NumPy array and ``math.sin(x)`` ask a tensor for its float, as ``float(x)``
does, but who writes them means the tensor: the gradient would be wrong without a word.  Both raise.
What asks is read from the caller's bytecode, once per place.
"""

from __future__ import annotations

import dis
import functools
import math
from types import CodeType, FrameType

from tapejit.errors import AutogradError
from tapejit.sites import describe_site

_WITHOUT_SLOPE = {"ceil", "floor", "trunc", "isclose", "isfinite", "isinf", "isnan"}
_FUNCTIONS = {name for name in vars(math) if name[0] != "_"} - _WITHOUT_SLOPE
_LOADS = ("LOAD_ATTR", "LOAD_DEREF", "LOAD_FAST", "LOAD_GLOBAL", "LOAD_METHOD", "LOAD_NAME")


def check_number_asked(frame: FrameType) -> None:
    """Raise where a tensor that is differentiated would become a number by accident.

    Errors  AutogradError
    """
    asker = _asker(frame.f_code, frame.f_lasti)
    if asker in ("[]", "fill"):
        what = "a NumPy array cannot hold a tensor whose operations are recorded: its derivative"
        instead = "np.zeros_like of an argument or tapejit.zeros in place of np.zeros, or np.stack"
    elif asker in ("fromiter", "float64", "float32"):
        what = f"np.{asker} makes plain numbers of tensors: their derivative"
        instead = "np.stack, x.astype(...), or float(x) where no derivative is meant"
    elif asker in _FUNCTIONS:
        what = f"math.{asker} makes a plain number of a tensor: its derivative"
        name = "sum" if asker == "fsum" else asker
        instead = f"np.{name}, or math.{asker}(float(x)) where no derivative is meant"
    else:
        return
    raise AutogradError(
        f"{what} would be lost\n  at   {describe_site((frame.f_code, frame.f_lasti))}\n"
        f"  try  {instead}"
    )


@functools.lru_cache(maxsize=1024)
def _asker(code: CodeType, place: int) -> str:
    """What an instruction asks a number for: "[]" of an assignment, or the name it calls."""
    before = []
    for instruction in dis.get_instructions(code):
        if instruction.offset == place:
            break
        before.append(instruction)
    else:
        return ""
    if instruction.opname == "STORE_SUBSCR":
        return "[]"
    # 3.11 runs a specialised call of a C function at its PRECALL
    if not instruction.opname.startswith(("CALL", "PRECALL")) or instruction.positions is None:
        return ""
    start = instruction.positions[0], instruction.positions[2]
    for load in reversed(before):  # the callee begins where the call begins
        positions = load.positions
        if positions and (positions[0], positions[2]) == start and load.opname in _LOADS:
            return str(load.argval)
    return ""
