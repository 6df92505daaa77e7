"""Python's instructions, as far as no values have to be followed: decoding, and a table.

What moves values in a way of its own has a method in frames.py, called after it.
"""

from __future__ import annotations

import dis
from functools import lru_cache
from types import CodeType
from typing import Any

from tapejit.transforms.reading.trust import words

SIMPLE = {
    **dict.fromkeys(
        words(
            "NOP RESUME PRECALL MAKE_CELL COPY_FREE_VARS SETUP_ANNOTATIONS DELETE_FAST "
            "DELETE_DEREF LIST_TO_TUPLE DELETE_NAME ASYNC_GEN_WRAP"
        ),
        (0, 0),
    ),
    **dict.fromkeys(
        words(
            "LOAD_BUILD_CLASS LOAD_ASSERTION_ERROR GET_LEN MATCH_MAPPING MATCH_SEQUENCE "
            "RETURN_GENERATOR WITH_EXCEPT_START LOAD_LOCALS MATCH_KEYS LOAD_COMMON_CONSTANT"
        ),
        (0, 1),
    ),
    **dict.fromkeys(words("POP_TOP POP_EXCEPT END_FOR"), (1, 0)),
    **dict.fromkeys(
        words(
            "UNARY_NEGATIVE UNARY_NOT UNARY_INVERT UNARY_POSITIVE TO_BOOL FORMAT_SIMPLE "
            "CONVERT_VALUE CALL_INTRINSIC_1 CHECK_EXC_MATCH"
        ),
        (1, 1),
    ),
    **dict.fromkeys(
        words("COMPARE_OP IS_OP CONTAINS_OP FORMAT_WITH_SPEC CALL_INTRINSIC_2"), (2, 1)
    ),
    "CHECK_EG_MATCH": (2, 2),
    "PUSH_EXC_INFO": (1, 2),
    "BINARY_SLICE": (3, 1),
    "BUILD_STRING": (None, 1),
    "END_SEND": (2, 1),
    "PREP_RERAISE_STAR": (2, 1),
    "CLEANUP_THROW": (3, 2),
}
"""opname -> (values popped, values pushed); what is popped escapes, what is pushed may hold it.
A None is the instruction's own argument."""

NO_RESULT = frozenset(
    words(
        "UNARY_NEGATIVE UNARY_NOT UNARY_INVERT TO_BOOL FORMAT_SIMPLE FORMAT_WITH_SPEC "
        "BUILD_STRING COMPARE_OP IS_OP CONTAINS_OP CHECK_EXC_MATCH CONVERT_VALUE"
    )
)
"""What these push is a new number, string or truth value."""

ENDS = frozenset(words("RERAISE RAISE_VARARGS"))
"""No instruction follows these."""


@lru_cache(maxsize=512)  # 17 KB each, and it keeps functions' code alive
def decode(code: CodeType):
    """Instructions and exception table of a code object, decoded once."""
    bytecode: Any = dis.Bytecode(code)  # its exception_entries are missing in typeshed
    steps = [ins for ins in bytecode if ins.opname not in ("CACHE", "EXTENDED_ARG")]
    return steps, list(bytecode.exception_entries)


def goes_back(step) -> bool:
    return "BACKWARD" in step.opname
