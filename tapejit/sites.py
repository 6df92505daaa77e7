"""Where in the user's code something was asked for: what messages and guards name.

A site is (code object, instruction), cheap to keep; `describe_site` makes words of it.
"""

from __future__ import annotations

import linecache
import sys
import threading
from types import CodeType, FrameType

Site = tuple[CodeType, int]

_PACKAGE = __name__.partition(".")[0]


def user_site(frame: FrameType | None = None) -> Site:
    """The site of the innermost frame outside tapejit."""
    frame = frame or sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if not (name == _PACKAGE or name.startswith(_PACKAGE + ".")):
            break
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def describe_site(site: Site | None) -> str:
    """FILE:LINE and the source text of a site."""
    if site is None:
        return "an unknown line"
    code, instruction = site
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= instruction < end and number is not None:
            line = number
    text = linecache.getline(code.co_filename, line).strip()
    return f"{code.co_filename}:{line}" + (f"  {text}" if text else "")


class _Here(threading.local):
    """What a thread is launching on a GPU now: errors of it come later."""

    site: Site | None = None


here = _Here()
