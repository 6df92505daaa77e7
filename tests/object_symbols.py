"""What an object file asks others for: the undefined symbols of ELF, Mach-O and COFF.

A few dozen lines, because neither llvmlite nor the standard library reads a symbol table, and the
tools that do are not on every machine.  Little-endian 64-bit objects only.
"""

from __future__ import annotations

import struct


def undefined_symbols(data: bytes) -> set[str]:
    """Names that the linker must find elsewhere, without the underscore that macOS puts first."""
    if data[:4] == b"\x7fELF":
        return set(_elf(data))
    if data[:4] == b"\xcf\xfa\xed\xfe":
        return {name.removeprefix("_") for name in _mach_o(data)}
    assert data[:2] in (b"\x64\x86", b"\x64\xaa"), data[:4]
    return set(_coff(data))


def _text(data, at):
    return data[at : data.index(b"\0", at)].decode()


def _elf(data):
    (sections,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, sections + i * size) for i in range(count)]
    for _, kind, _, _, offset, length, link, _, _, entry in headers:
        if kind != 2:  # SHT_SYMTAB
            continue
        strings = headers[link][4]
        for at in range(offset + entry, offset + length, entry):
            name, _, _, section = struct.unpack_from("<IBBH", data, at)
            if section == 0:
                yield _text(data, strings + name)


def _mach_o(data):
    (count,) = struct.unpack_from("<I", data, 16)
    at = 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, at)
        if command == 2:  # LC_SYMTAB
            symbols, n_symbols, strings, _ = struct.unpack_from("<IIII", data, at + 8)
            for k in range(n_symbols):
                name, kind, _, _, value = struct.unpack_from("<IBBHQ", data, symbols + 16 * k)
                if kind & 0x0E == 0 and kind & 1 and value == 0:  # N_UNDF, N_EXT
                    yield _text(data, strings + name)
        at += size


def _coff(data):
    symbols, count = struct.unpack_from("<II", data, 8)
    strings = symbols + 18 * count
    k = 0
    while k < count:
        raw, value, section, _, storage, extra = struct.unpack_from(
            "<8sIhHBB", data, symbols + 18 * k
        )
        if section == 0 and storage == 2 and value == 0:  # external and nowhere
            short = raw[:4] != b"\0\0\0\0"
            name = raw.rstrip(b"\0").decode() if short else ""
            yield name or _text(data, strings + struct.unpack_from("<I", raw, 4)[0])
        k += 1 + extra
