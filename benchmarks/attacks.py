"""Attacks on the cache of compiled code, drawn from a seed: what can happen to a disk, happens.

`run(seed, directory)` makes one attack: a cache is filled with real machine code, something is
done to it (to an entry's file, to the directory, to one of the system calls that `tapejit.cache`
makes, to the clock), and the code is asked for as a new process would.  Then the attack is lifted
and the code asked for once more.  The `Outcome` says what must not be: a wrong answer, an
exception, a second warning, an entry that was not mended.

An attack is a context manager in ATTACKS: it happens where it is entered and ends where it is
left.  Those in FILES leave the directory usable, so the entry must be mended while they last.

tests/test_cache_attacks.py runs some, `python -m benchmarks processes` a thousand.  Not here:
forged entries with a right digest, which an accident cannot make (tapejit.cache says whom it
trusts), but for those that LLVM refuses.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import json
import os
import random
import shutil
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tapejit import cache
from tapejit.cache import MAGIC, ObjectStore, frame
from tapejit.runtime import native

# ---------------------------------------------------------------- what is kept in the cache


class Code(NamedTuple):
    """A function in LLVM IR and what it gives."""

    ir: str
    value: float
    """Of the argument 1.5."""


def _code(number: int, length: int) -> Code:
    """x * a + b, `length` times, with numbers that no other code has."""
    lines, value, last = [], 1.5, "%x"
    for i in range(length):
        a, b = 0.5 + number / 16, i + number / 4
        lines.append(f"  %t{i} = fmul double {last}, {a:e}\n  %y{i} = fadd double %t{i}, {b:e}")
        value, last = value * a + b, f"%y{i}"
    body = "\n".join(lines)
    return Code(f"define double @f(double %x) {{\n{body}\n  ret double {last}\n}}\n", value)


CODES = tuple(_code(number, length) for number, length in enumerate((1, 20, 300), 1))


LIMIT_BYTES = 1 << 20


@functools.cache
def good_entries() -> dict[str, bytes]:
    """The content of every file by its key."""
    return {
        native.content_key(code.ir): frame(
            native.content_key(code.ir), native.compile_object(code.ir)
        )
        for code in CODES
    }


# ---------------------------------------------------------------- an attack and what came of it


class Outcome(NamedTuple):
    """What an attack did."""

    name: str
    wrong: int = 0
    exceptions: tuple[str, ...] = ()
    warnings: int = 0
    mended: bool = True

    @property
    def is_harmless(self) -> bool:
        """Right answers, nothing raised, at most one warning, and everything on disk again."""
        return not self.wrong and not self.exceptions and self.warnings <= 1 and self.mended


class Scene(NamedTuple):
    """Where an attack happens: the cache, one entry of it, and the dice."""

    directory: Path
    key: str
    """Of the entry that is attacked."""
    entries: dict[str, bytes]
    draw: random.Random

    @property
    def path(self) -> Path:
        """The entry's file."""
        return self.directory / f"{self.key}.tjo"

    @property
    def whole(self) -> bytes:
        """What the entry's file held."""
        return self.entries[self.key]

    @property
    def other(self) -> bytes:
        """What another entry's file holds."""
        return self.entries[self.draw.choice([key for key in self.entries if key != self.key])]


def run(seed: int, directory: Path) -> Outcome:
    """Make the attack of this seed in an empty directory of its own."""
    draw = random.Random(seed)
    entries = good_entries()
    name = sorted(ATTACKS)[seed % len(ATTACKS)]
    home = directory / "home" / "cache"
    scene = Scene(home, draw.choice(sorted(entries)), entries, draw)
    home.mkdir(mode=0o700, parents=True)
    for key, data in entries.items():
        (home / f"{key}.tjo").write_bytes(data)
    if name not in FILES:  # then what happens to it when there is something to write
        if draw.random() < 0.7:
            scene.path.unlink()
        elif draw.random() < 0.5:
            scene.path.write_bytes(scene.whole[:-1])
    wrong, exceptions, n_warnings, mended = 0, [], 0, True
    with ATTACKS[name](scene):
        for is_new in (True, False):  # one process, so one warning at most
            got = _ask(home, is_new)
            wrong, n_warnings = wrong + got.wrong, n_warnings + got.warnings
            exceptions += got.exceptions
        if name in FILES:
            mended = _is_whole(home, entries)
    got = _ask(home, is_new=True)
    exceptions += got.exceptions
    mended = mended and _is_whole(home, entries) and not got.warnings
    return Outcome(name, wrong + got.wrong, tuple(exceptions), n_warnings, mended)


def _ask(directory: Path, is_new: bool) -> Outcome:
    """Ask for all codes through the cache, as a process does that is new or goes on."""
    if is_new:
        cache._warned = False
    wrong, exceptions = 0, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            store = ObjectStore(directory, limit_bytes=LIMIT_BYTES)
            for code in CODES:
                library = native.compile_cached(code.ir, ("f",), store=store)
                function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
                wrong += function(library.address("f"))(1.5) != code.value
        except Exception as error:
            exceptions.append(f"{type(error).__name__}: {error}")
    return Outcome("", wrong, tuple(exceptions), len(caught))


def _is_whole(directory: Path, entries: dict[str, bytes]) -> bool:
    """Whether every entry is as it was."""
    files = {key: directory / f"{key}.tjo" for key in entries}
    return all(f.is_file() and f.read_bytes() == entries[key] for key, f in files.items())


# ---------------------------------------------------------------- attacks on a file

FILES: dict[str, Callable] = {}
ATTACKS: dict[str, Callable] = {}


def _on_file(damage: Callable[[Scene], object]) -> Callable:
    """Declare an attack that happens to a file, once."""

    @contextlib.contextmanager
    def attack(scene):
        damage(scene)
        yield

    ATTACKS[damage.__name__.strip("_")] = FILES[damage.__name__.strip("_")] = attack
    return damage


def _changed(change: Callable[[Scene], bytes]) -> Callable:
    """Declare an attack that writes other bytes into the file."""

    def damage(scene):
        data = change(scene)
        # in place, as a disk does it, or as a new file
        if scene.draw.random() < 0.5:
            scene.path.unlink()
        scene.path.write_bytes(data)

    damage.__name__ = change.__name__
    return _on_file(damage)


@_changed
def truncated(scene):
    size = len(scene.whole)
    edges = [0, 1, 8, 40, 52, 116, size - 1]
    return scene.whole[: scene.draw.choice([*edges, scene.draw.randrange(size)])]


@_changed
def flipped(scene):
    data = bytearray(scene.whole)
    for _ in range(scene.draw.choice([1, 1, 1, 2, 50])):
        # half of them in the head, which is a small part of the file
        at = scene.draw.randrange(scene.draw.choice([120, len(data)]))
        data[at] ^= 1 << scene.draw.randrange(8)
    return bytes(data)


@_changed
def flipped_payload_lengths(scene):
    data = bytearray(scene.whole)
    data[scene.draw.randrange(40, 52)] = scene.draw.choice([0, 1, 127, 128, 255])
    return bytes(data) if bytes(data) != scene.whole else b""


@_changed
def longer(scene):
    at = scene.draw.choice([0, 52, len(scene.whole), scene.draw.randrange(len(scene.whole))])
    return scene.whole[:at] + scene.draw.randbytes(scene.draw.randint(1, 99)) + scene.whole[at:]


@_changed
def garbage(scene):
    return scene.draw.randbytes(scene.draw.randint(1, 20_000))


@_changed
def garbage_behind_the_magic(scene):
    return MAGIC + scene.draw.randbytes(scene.draw.randint(1, 20_000))


@_changed
def zeros(scene):
    return bytes(len(scene.whole))


@_changed
def a_page_of_zeros(scene):
    """What a power cut leaves."""
    at = scene.draw.randrange(len(scene.whole)) // 512 * 512
    return scene.whole[:at] + bytes(len(scene.whole) - at)


@_changed
def other_entry(scene):
    """A good entry, but of another key."""
    return scene.other


@_changed
def halves_of_two_entries(scene):
    at = scene.draw.randrange(60, len(scene.whole))
    return scene.whole[:at] + scene.other[at:]


@_changed
def other_version(scene):
    """Right in the form of another version, digest and all."""
    version = scene.draw.choice([b"\x00", b"\x01", b"\x03", b"\xff"])
    return scene.whole.replace(MAGIC, MAGIC[:-1] + version, 1)


@_changed
def foreign_cpu(scene):
    """Code of another processor, framed under its own key, found under ours."""
    code = CODES[sorted(scene.entries).index(scene.key)]
    key = _foreign_key(code.ir, features=scene.draw.choice(["+avx10.9", ""]))
    return frame(key, scene.whole[-1000:])


@_changed
def other_llvm(scene):
    code = CODES[sorted(scene.entries).index(scene.key)]
    return frame(_foreign_key(code.ir, llvm=(3, 1, 4)), scene.whole[-1000:])


def _foreign_key(ir, **changes):
    """The key that an IR text has elsewhere."""
    here = native.host
    native.host = lambda: here()._replace(**changes)
    try:
        return native.content_key(ir)
    finally:
        native.host = here


@_changed
def framed_text(scene):
    """A right frame around what is no object file."""
    return frame(scene.key, scene.draw.choice([b"", b"no object file", b"\x7fELF", bytes(4096)]))


@_on_file
def missing(scene):
    scene.path.unlink()


@_on_file
def all_missing(scene):
    for path in scene.directory.iterdir():
        path.unlink()


@_on_file
def directory_in_its_place(scene):
    scene.path.unlink()
    scene.path.mkdir()
    if scene.draw.random() < 0.5:
        (scene.path / "something").write_text("of somebody's")


def _link(target: Callable[[Scene], object], name: str):
    def damage(scene):
        to = target(scene)
        scene.path.unlink()
        scene.path.symlink_to(to)

    damage.__name__ = name
    _on_file(damage)


_link(lambda scene: "nowhere", "dangling_link")
_link(lambda scene: scene.path.name, "link_to_itself")
_link(lambda scene: scene.directory, "link_to_a_directory")
_link(lambda scene: "/dev/zero", "link_to_zeros")
_link(lambda scene: "/dev/tty", "link_to_a_terminal")
_link(
    lambda scene: next(f for f in scene.directory.iterdir() if f != scene.path), "link_to_an_entry"
)


@_on_file
def fifo(scene):
    scene.path.unlink()
    os.mkfifo(scene.path)


@_on_file
def unix_socket(scene):
    scene.path.unlink()
    before = os.getcwd()
    os.chdir(scene.directory)  # a socket's path may have 100 characters
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(scene.path.name)
    finally:
        os.chdir(before)


@_on_file
def unreadable_file(scene):
    """For root it is readable, and good."""
    scene.path.chmod(0)


@_on_file
def huge_file(scene):
    """Sparse: larger than the cache may be, or just not."""
    size = scene.draw.choice([LIMIT_BYTES * 1000, LIMIT_BYTES, LIMIT_BYTES - 1])
    scene.path.write_bytes(scene.draw.choice([b"", scene.whole]))
    os.truncate(scene.path, size)


@_on_file
def odd_date(scene):
    """Of a good entry, or of a damaged one."""
    if scene.draw.random() < 0.5:
        scene.path.write_bytes(scene.whole[:-1])
    date = scene.draw.choice([0, 1, -1, -(2**31), 2**31 + 5, 2**33, time.time() + 10**6])
    os.utime(scene.path, (date, date))


@_on_file
def leftovers(scene):
    """Temporary files of processes that died, old and young, and things like them."""
    scene.path.unlink()
    for number in range(scene.draw.randint(1, 30)):
        path = scene.directory / f"{scene.draw.randbytes(16).hex()}.tmp"
        if number % 7 == 6:
            path.mkdir()
        else:
            path.write_bytes(scene.whole[:number])
        date = scene.draw.choice([0, time.time(), 2**33])
        os.utime(path, (date, date))


# ---------------------------------------------------------------- attacks on the directory


def _attack(function: Callable) -> Callable:
    """Declare an attack that lasts."""
    ATTACKS[function.__name__] = contextlib.contextmanager(function)
    return function


@_attack
def directory_missing(scene):
    shutil.rmtree(scene.directory)
    yield


@_attack
def directory_and_parent_missing(scene):
    shutil.rmtree(scene.directory.parent)
    yield


@_attack
def file_instead_of_the_directory(scene):
    which = scene.draw.choice([scene.directory, scene.directory.parent])
    shutil.rmtree(which)
    which.write_text("")
    yield
    which.unlink()


@_attack
def link_instead_of_the_directory(scene):
    """To the directory itself, elsewhere: good.  Or to nowhere."""
    elsewhere = scene.directory.with_name("elsewhere")
    scene.directory.rename(elsewhere)
    scene.directory.symlink_to(scene.draw.choice([elsewhere, "nowhere"]))
    yield
    scene.directory.unlink()
    if (elsewhere.with_name("nowhere")).exists():
        elsewhere.with_name("nowhere").rename(scene.directory)
    else:
        elsewhere.rename(scene.directory)


@_attack
def directory_mode(scene):
    """Others can write in it; or we cannot, or cannot even read (for root: we can)."""
    scene.directory.chmod(scene.draw.choice([0o777, 0o770, 0o702, 0o500, 0o300, 0o000]))
    yield
    scene.directory.chmod(0o700)


@_attack
def directory_of_somebody_else(scene):
    somebody = os.getuid() + 1
    with _patched(os, getuid=lambda: somebody):
        yield


@_attack
def small_limit(scene):
    """No room for more than one of the entries, so each put deletes."""
    with _patched(globals(), LIMIT_BYTES=len(max(scene.entries.values(), key=len)) + 10):
        yield


# ---------------------------------------------------------------- attacks on the system calls

CALLS = (
    "open", "fstat", "read", "close", "utime", "write", "replace", "rename", "unlink", "scandir",
    "stat", "mkdir", "makedirs",
)  # fmt: skip
ERRORS = (
    "ENOSPC", "EIO", "EMFILE", "ENFILE", "EACCES", "EROFS", "EDQUOT", "ENOENT", "ESTALE", "ENOMEM",
    "EPERM", "EEXIST",
)  # fmt: skip


class Calls:
    """In the place of module os inside tapejit.cache: counts calls, and has something happen."""

    def __init__(self, happens: Callable[[int, str, Callable, tuple], object]):
        self.happens = happens
        self.count = 0

    def __getattr__(self, name):
        if name not in CALLS:
            return getattr(os, name)

        def call(*arguments, exist_ok=True):
            self.count += 1
            options = {"exist_ok": exist_ok} if name == "makedirs" else {}
            real = functools.partial(getattr(os, name), **options)
            return self.happens(self.count, name, real, arguments)

        return call


@contextlib.contextmanager
def _patched(place, **names):
    """Names of a module (or of globals()) with other values, for a while."""
    table = place if isinstance(place, dict) else vars(place)
    before = {name: table[name] for name in names}
    table.update(names)
    try:
        yield
    finally:
        table.update(before)


def _failing(scene, is_meant: Callable[[int, str], bool]):
    number = getattr(errno, scene.draw.choice(ERRORS))

    def happens(count, name, real, arguments):
        if not is_meant(count, name):
            return real(*arguments)
        if name == "close":  # closed it is, whatever it says
            real(*arguments)
        raise OSError(number, os.strerror(number))

    return _patched(cache, os=Calls(happens))


@_attack
def one_call_fails(scene):
    at = scene.draw.randint(1, 40)
    with _failing(scene, lambda count, name: count == at):
        yield


@_attack
def all_calls_fail_from_some_on(scene):
    at = scene.draw.randint(1, 40)
    with _failing(scene, lambda count, name: count >= at):
        yield


@_attack
def calls_of_one_name_fail(scene):
    which = scene.draw.choice(CALLS)
    with _failing(scene, lambda count, name: name == which):
        yield


@_attack
def calls_fail_now_and_then(scene):
    with _failing(scene, lambda count, name: scene.draw.random() < 0.2):
        yield


@_attack
def short_reads_and_writes(scene):
    def happens(count, name, real, arguments):
        if name == "read":
            return real(arguments[0], min(arguments[1], scene.draw.randint(1, 300)))
        if name == "write":
            return real(arguments[0], arguments[1][: scene.draw.randint(1, 300)])
        return real(*arguments)

    with _patched(cache, os=Calls(happens)):
        yield


@_attack
def somebody_at_work(scene):
    """Another process does something between two of our calls."""
    at = scene.draw.randint(1, 30)
    what = scene.draw.choice([_remove, _empty, _shorten, _remove_all, _swap, _block])

    def happens(count, name, real, arguments):
        if count == at:
            what(scene)
        return real(*arguments)

    with _patched(cache, os=Calls(happens)):
        yield
    with contextlib.suppress(OSError):
        (scene.directory / "in the way").unlink()


def _remove(scene):
    scene.path.unlink(missing_ok=True)


def _empty(scene):
    for path in list(scene.directory.glob("*")):
        path.unlink(missing_ok=True)


def _shorten(scene):
    scene.directory.mkdir(exist_ok=True)
    scene.path.write_bytes(scene.whole[: scene.draw.randrange(len(scene.whole))])


def _remove_all(scene):
    shutil.rmtree(scene.directory, ignore_errors=True)


def _swap(scene):
    scene.path.write_bytes(scene.other)


def _block(scene):
    if scene.path.exists():
        scene.path.unlink()
        scene.path.mkdir()


@_attack
def temporary_names_collide(scene):
    with _patched(os, urandom=lambda n: bytes(n)):
        (scene.directory / f"{bytes(16).hex()}.tmp").write_bytes(b"somebody's")
        yield


@_attack
def odd_clock(scene):
    def now():
        return scene.draw.choice([0.0, -1e9, 1e18, real() - 10**7, 2.0**31, real()])

    real = time.time
    with _patched(time, time=now):
        yield


@_attack
def no_more_threads(scene):
    """Entries that should be written later are, at the latest at exit."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    start = threading.Thread.start
    threading.Thread.start = refuse
    try:
        ObjectStore(scene.directory).put_later(scene.key, scene.whole[-1000:])
    finally:
        threading.Thread.start = start
    yield
    cache._WRITER.flush()
    scene.path.write_bytes(b"")


# ---------------------------------------------------------------- many attacks


def run_all(seeds: range, directory: Path) -> dict:
    """Make the attacks of these seeds; what they did, in numbers."""
    counts = dict.fromkeys(("attacks", "exceptions", "wrong", "warned twice", "not mended"), 0)
    for seed in seeds:
        place = directory / str(seed)
        place.mkdir()
        outcome = run(seed, place)
        counts["attacks"] += 1
        counts["exceptions"] += len(outcome.exceptions)
        counts["wrong"] += outcome.wrong
        counts["warned twice"] += outcome.warnings > 1
        counts["not mended"] += not outcome.mended
        if not outcome.is_harmless:
            print(f"seed {seed}: {outcome}", file=sys.stderr)
        shutil.rmtree(place, ignore_errors=True)
    return counts


if __name__ == "__main__":  # python -m benchmarks.attacks DIRECTORY COUNT
    print(json.dumps(run_all(range(int(sys.argv[2])), Path(sys.argv[1]))))
