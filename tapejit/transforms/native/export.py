"""`tj.export`: a function as a C header beside an object file or a shared library.

The code is a native function's (`transforms.native`), with two functions around it that C knows:

    int32_t NAME(inputs..., outputs..., void *work, int64_t work_bytes)
    const char *NAME_message(int32_t status)

docs/c_abi.md tells what callers may rely on.  Everything else in the object is internal, so that
several of them can be linked into one program.  `_header` writes what C sees, `_entry` the IR.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tapejit.errors import ArgumentError, DtypeError, KernelError
from tapejit.runtime.freestanding import Freestanding
from tapejit.runtime.native import Host, compile_object, host
from tapejit.transforms import trees
from tapejit.transforms.native.c_side import message_of
from tapejit.transforms.native.functions import NativeFunction, native
from tapejit.transforms.native.records import (
    Array,
    Constant,
    NativeCode,
    Number,
    Result,
    Static,
)

# ---------------------------------------------------------------- data


class Exported(NamedTuple):
    """What was written."""

    header: Path
    code: Path
    name: str


class _Parameter(NamedTuple):
    """One parameter of the C function."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    place: str
    """Where it is in the Python call or its answer."""
    is_value: bool
    """Given by value: a number that goes in."""
    is_output: bool


class _CType(NamedTuple):
    c: str
    llvm: str


_TYPES = {
    "float64": _CType("double", "double"),
    "float32": _CType("float", "float"),
    "bool": _CType("uint8_t", "i8"),
    **{f"int{n}": _CType(f"int{n}_t", f"i{n}") for n in (8, 16, 32, 64)},
    **{f"uint{n}": _CType(f"uint{n}_t", f"i{n}") for n in (8, 16, 32, 64)},
}

_FMA = "+avx,+avx2,+fma"
_WIDE = f"{_FMA},+avx512f,+avx512cd,+avx512bw,+avx512dq,+avx512vl"
_CPUS = {
    "x86_64": {
        "generic": ("x86-64", ""),
        "x86-64": ("x86-64", ""),
        "x86-64-v2": ("x86-64-v2", ""),
        **dict.fromkeys(("x86-64-v3", "haswell", "skylake", "znver2", "znver3"), _FMA),
        **dict.fromkeys(("x86-64-v4", "skylake-avx512", "icelake-server", "znver4"), _WIDE),
    },
    "aarch64": {
        "generic": ("generic", ""),
        **dict.fromkeys(("apple-m1", "cortex-a72", "neoverse-n1", "neoverse-v1"), ""),
    },
}
"""CPUs that can be asked for, and the features that our text asks about."""

_OBJECTS, _SHARED, _TEXTS = (".o", ".obj"), (".so", ".dylib", ".dll"), (".ll",)

# ---------------------------------------------------------------- the door


def export(
    f: Callable, example: Any, path: str | os.PathLike, *, name: str | None = None,
    cpu: str = "native",
) -> Exported:  # fmt: skip
    """Write a function as C: a header, and an object file or shared library with no Python in it.

    f        a function (its value), or what a transform made of one: `tj.value_and_grad(f)`, ...
    example  its argument, or a tuple of its arguments: shapes and dtypes are fixed by it
    path     "dir/NAME" or "dir/NAME.o": an object file; .so, .dylib, .dll: a shared library, linked
             by the system's `cc` (or $CC); .ll: LLVM text.  The header is NAME.h beside it
    name     of the C function, in place of the file's; names begin with it in lower and upper case
    cpu      "native": this machine's; "generic": any of its kind; or a name, as "x86-64-v3"
    Returns  the paths of header and code, and the name
    Errors   as `g.numba(...)`; ArgumentError for names that C does not take and unknown CPUs;
             KernelError where the linker is missing or fails
    Like     docs/c_abi.md tells what C may rely on

    >>> import numpy as np, tapejit as tj, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> g = tj.value_and_grad(lambda x: np.sum(x * x))
    >>> made = tj.export(g, np.ones(3), folder + "/square")
    >>> made.header.name, made.code.name
    ('square.h', 'square.o')
    """
    path = Path(path)
    suffix = path.suffix if path.suffix in _OBJECTS + _SHARED + _TEXTS else ""
    stem = path.name.removesuffix(suffix)
    name = _checked_name(stem if name is None else name)
    made = _made(f, example, cpu)
    parameters = [*_inputs(f, made, name), *_outputs(made)]
    parameters = _with_unique_names(parameters, name)
    text = _entry(made.code, parameters, name, _target(cpu))
    code = path.with_name(stem + (suffix or ".o"))
    header = path.with_name(f"{stem}.h")
    if suffix in _TEXTS:
        code.write_text(text)
    else:
        data = compile_object(text, made.code.tier, target=_target(cpu))
        if suffix in _SHARED:
            _link(data, code)
        else:
            code.write_bytes(data)
    header.write_text(_header(made, parameters, name, f"{stem}.h"))
    return Exported(header, code, name)


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name in _RESERVED or name == "main":
        raise ArgumentError(
            f"export: {name!r} is no name for a C function\n  try  another file name, or name="
        )
    return name


def _made(f, example, cpu) -> NativeFunction:
    if isinstance(f, NativeFunction):
        if cpu != "native":
            raise ArgumentError(
                f"export: a native function is compiled for this machine, not for {cpu}\n"
                "  try  the function that it was made of, and its example"
            )
        return f
    args = example if type(example) is tuple else (example,)
    return native(f, args, {}, None if cpu == "native" else _target(cpu))


def _target(cpu: str) -> Host:
    here = host()
    if cpu == "native":
        return here
    kind = here.triple.partition("-")[0].replace("arm64", "aarch64").replace("amd64", "x86_64")
    known = _CPUS.get(kind, {"generic": ("generic", "")})
    if cpu not in known:
        raise ArgumentError(
            f"export: unknown CPU {cpu!r}\n  try  'native', or one of {', '.join(known)}"
        )
    found = known[cpu]
    cpu, features = found if isinstance(found, tuple) else (cpu, found)
    return here._replace(cpu=cpu, features=features)


def _link(data: bytes, path: Path) -> None:
    """A shared library of one object, by the system's compiler."""
    import shutil
    import subprocess
    import tempfile

    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        raise KernelError(
            f"export: a shared library needs a linker, and {compiler!r} was not found\n"
            "  try  installing a C compiler, setting CC, or an object file (.o)"
        )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "code.o")
        source.write_bytes(data)
        command = [compiler, "-shared", "-o", str(path), str(source), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KernelError(f"export: {' '.join(command)} failed\n{done.stderr.strip()[:2000]}")


# ---------------------------------------------------------------- parameters

_WORDS = """
    auto break case char const continue default do double else enum extern float for goto if
    inline int long register restrict return short signed sizeof static struct switch typedef union
    unsigned void volatile while alignas alignof and and_eq asm bitand bitor bool catch class compl
    concept const_cast constexpr decltype delete dynamic_cast explicit export false friend module
    mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public
    reinterpret_cast requires static_assert static_cast template this thread_local throw true try
    typeid typename using virtual wchar_t xor xor_eq work work_bytes status
    int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t
    NULL EOF NAN INFINITY errno stdin stdout stderr
    memcpy memset memmove floor ceil trunc rint fma sqrt
"""
_RESERVED = frozenset(_WORDS.split())
"""Words of C and C++, macros of its headers, what objects ask for, and parameters of all."""


def _inputs(f, made: NativeCode, name: str) -> list[_Parameter]:
    """Numbers by value, arrays by address; what is part of the function is none."""
    found: list[_Parameter] = []
    for i, template in enumerate(made.arguments):
        own = _names_of(f, len(made.arguments))[i]
        found += _leaves(template, own, own)
    for own, template in made.keywords.items():
        found += _leaves(template, own, own)
    return found


def _names_of(f, n: int) -> list[str]:
    """What the function calls its first arguments."""
    try:
        parameters = inspect.signature(getattr(f, "__wrapped__", f)).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [names[i] if i < len(names) else f"x{i}" for i in range(n)]


def _outputs(made: NativeCode) -> list[_Parameter]:
    return _leaves(made.answer, "y", "answer")


def _leaves(template, name: str, place: str) -> list[_Parameter]:
    """A parameter for each leaf, named after the way to it."""
    if isinstance(template, Number):
        return [_Parameter(name, template.dtype, (), place, True, False)]
    if isinstance(template, Array | Result):
        return [
            _Parameter(
                name, template.dtype, template.shape, place, False, isinstance(template, Result)
            )
        ]
    if isinstance(template, Static | Constant):
        return []
    names, items = trees.parts_of(template) or ((), ())
    found = []
    for i, item in enumerate(items):
        key = names[i] if names else i
        joint = "" if isinstance(key, int) and name[-1].isalpha() else "_"
        found += _leaves(item, f"{name}{joint}{key}", f"{place}[{key!r}]")
    return found


def _with_unique_names(parameters, name):
    """Names that C takes, each once."""
    used, found = {name.lower(), f"{name}_message".lower()}, []
    for parameter in parameters:
        if parameter.dtype.name not in _TYPES:
            raise DtypeError(f"export: C has no {parameter.dtype}\n  got  {parameter.place}")
        wanted = re.sub(r"[^A-Za-z0-9_]", "_", parameter.name)
        wanted = wanted if not wanted[:1].isdigit() else f"x{wanted}"
        while wanted.lower() in used or wanted in _RESERVED:  # macros have them in upper case
            wanted += "_"
        used.add(wanted.lower())
        found.append(parameter._replace(name=wanted))
    return found


# ---------------------------------------------------------------- code


def _entry(code: Freestanding, parameters: list[_Parameter], name: str, target: Host) -> str:
    """The text with the two functions that C knows, and nothing else of it to be seen."""
    exported = "dllexport " if "windows" in target.triple else ""
    declared, lines, given = [], [], []
    for i, parameter in enumerate(parameters):
        kind = _TYPES[parameter.dtype.name].llvm
        declared.append(f"{kind} %v{i}" if parameter.is_value else f"ptr %v{i}")
        given.append(f"ptr %v{i}")
        if parameter.is_value:
            lines.append(f"%p{i} = alloca {kind}\nstore {kind} %v{i}, ptr %p{i}\n")
            given[-1] = f"ptr %p{i}"
    lines.append(
        "%at = ptrtoint ptr %work to i64\n%minus = sub i64 0, %at\n%pad = and i64 %minus, 63\n"
        "%aligned = getelementptr i8, ptr %work, i64 %pad\n%left = sub i64 %work_bytes, %pad\n"
    )
    inner = f"define i32 @{code.symbol}("
    assert inner in code.text
    return (
        code.text.replace(inner, f"define internal i32 @{code.symbol}(")
        + f"\ndefine {exported}i32 @{name}({', '.join([*declared, 'ptr %work, i64 %work_bytes'])}) "
        f"nounwind {{\n{''.join(lines)}%status = call i32 @{code.symbol}("
        f"{', '.join([*given, 'ptr %aligned, i64 %left'])})\nret i32 %status\n}}\n"
        + _messages(code, name, exported)
    )


def _messages(code, name, exported):
    """NAME_message."""
    texts = {0: "done", -1: message_of(code, -1), -2: message_of(code, -2)}
    for number, reason in enumerate(code.failures, 1):
        texts[number] = f"no recorded path fits: {reason}"
    lines, cases = [], []
    for number, text in [*texts.items(), (None, "unknown status")]:
        data = " ".join(text.split()).encode() + b"\0"
        label = "other" if number is None else f"m{number + 2}"
        escaped = "".join(f"\\{byte:02x}" for byte in data)
        lines.append(f'@message.{label} = private constant [{len(data)} x i8] c"{escaped}"\n')
        cases.append(f"{label}:\nret ptr @message.{label}\n")
    switch = " ".join(f"i32 {number}, label %m{number + 2}" for number in texts)
    return (
        f"{''.join(lines)}\ndefine {exported}ptr @{name}_message(i32 %status) nounwind {{\n"
        f"switch i32 %status, label %other [ {switch} ]\n{''.join(cases)}}}\n"
    )


def work_bytes_of(code: Freestanding) -> int:
    """What a caller gives: some more than is used, for memory of any alignment."""
    return code.work_bytes + 64 if code.work_bytes else 0


# ---------------------------------------------------------------- the header


def _header(made: NativeCode, parameters, name: str, file: str) -> str:
    upper = name.upper()
    sizes = [
        f"#define {upper}_{p.name.upper()}_SIZE {int(np.prod(p.shape))}"
        for p in parameters
        if p.shape
    ]
    declared = [_declaration(p) for p in parameters]
    declared += ["void *work", "int64_t work_bytes"]
    n_inputs = len(made.code.inputs)
    about = [
        f"   {_declaration(p)}{_comment(f'  {p.place}, {p.dtype}{list(p.shape)}')}"
        for p in parameters
    ]
    newline = "\n"
    return f"""\
/* {file}: {_comment(made.__name__)} as machine code.  Written by tapejit; not to be edited.

   What goes in, row-major, with its place among the Python function's arguments:

{newline.join(about[:n_inputs]) or "   nothing"}

   What comes out; it may overlap nothing else, and is written only if the status is {upper}_OK, or
   partly if it is {upper}_REFUSED:

{newline.join(about[n_inputs:]) or "   nothing"}

   Work space: {upper}_WORK_BYTES bytes of any alignment, of this call's alone; null if that is 0.
   The function keeps nothing, allocates nothing and locks nothing: threads may call it at once.

{_example(made, parameters, name, file)}
*/
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

{newline.join([*sizes, ""]) if sizes else ""}#define {upper}_WORK_BYTES {work_bytes_of(made.code)}

#define {upper}_OK 0
#define {upper}_WORK_TOO_SMALL (-1)
#define {upper}_REFUSED (-2) /* an index out of range, a matrix that is singular, ... */
#define {upper}_GUARDS {len(made.code.failures)} /* 1 to this: no recorded path fits */

int32_t {name}({f",{newline}    ".join(declared)});

/* What a status means; a constant text. */
const char *{name}_message(int32_t status);

#ifdef __cplusplus
}}
#endif

#endif
"""


def _declaration(p: _Parameter) -> str:
    c = _TYPES[p.dtype.name].c
    if p.is_value:
        return f"{c} {p.name}"
    return f"{c} *{p.name}" if p.is_output else f"const {c} *{p.name}"


def _comment(text: str) -> str:
    """Text that ends no comment."""
    return text.replace("*/", "* /").replace("/*", "/ *").replace("\\\n", "\n")


def _example(made, parameters, name, file):
    """A whole program, as comment."""
    upper, lines, given = name.upper(), [], []
    for p in parameters:
        c = _TYPES[p.dtype.name].c
        if p.is_value or not p.shape:
            lines.append(f"       {c} {p.name} = 0;")
            given.append(p.name if p.is_value else f"&{p.name}")
        else:
            more = "" if np.prod(p.shape) else " + 1"
            lines.append(f"       static {c} {p.name}[{upper}_{p.name.upper()}_SIZE{more}];")
            given.append(p.name)
    work = "0" if not made.code.work_bytes else "work"
    if made.code.work_bytes:
        lines.append(f"       static char work[{upper}_WORK_BYTES];")
    call = ", ".join([*given, work, f"{upper}_WORK_BYTES"])
    return "\n".join(
        [
            "   A program, compiled by  cc -std=c99 program.c CODE -lm",
            "",
            "   #include <stdio.h>",
            f'   #include "{file}"',
            "",
            "   int main(void) {",
            *lines,
            f"       int32_t status = {name}({call});",
            f"       if (status != {upper}_OK)",
            f'           printf("%s\\n", {name}_message(status));',
            "       return status != 0;",
            "   }",
        ]
    )
