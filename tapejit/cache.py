"""The on-disk store of compiled code: bytes by key, one file per entry, wrong never.

The one idea: an entry proves itself.  Its file carries a digest of all that follows it, and the
key it was stored under, so whatever happened to it (half written, a bit flipped, renamed, from
another version) makes it a miss, and the next `put` replaces it:

    magic 8 | sha256 of the rest 32 | lengths of key and payload 4 + 8 | key, ASCII | payload

There is no index, so nothing can disagree with it; no lock, so no process waits for another, and
none is needed, because a file appears complete (os.replace) or not at all; no pickle, because
reading must not run anything.  Start reading at `ObjectStore.get` and `ObjectStore.put`.

Trust: a digest stops accidents, not an attacker.  Who can write in the directory can run code
here, as with every compile cache (JAX's says the same of itself).  Therefore the directory is
0700, and one that belongs to somebody else, or that others can write in, is refused.  A directory
that cannot be used costs one warning in a process, never an error.  What the bytes mean is not
known here: the key must say all of it.

benchmarks/attacks.py damages entries, directories and every single system call made here.  JAX
leaves bad entries for ever, Numba has an index file and pickles; neither is copied.  No fsync: the
digest catches what a power cut tore, and it would cost more than a compile.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import stat
import struct
import threading
import time
import warnings
from pathlib import Path

MAGIC = b"tapejit\x02"
"""Its last byte is the version of the frame."""

LIMIT_BYTES = 256 * 2**20

_LENGTHS = struct.Struct("<IQ")
_HEAD_BYTES = len(MAGIC) + 32 + _LENGTHS.size
_SUFFIX = ".tjo"
_TEXT = ".tj.py"  # somebody may have told us to use a directory of Python files
_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_TOUCH_AFTER_S = 24 * 3600  # an entry in use gets a new date once a day, not at every read
_STALE_AFTER_S = 3600  # a temporary file this old was left by a process that died

# ---------------------------------------------------------------- the frame


def frame(key: str, payload: bytes) -> bytes:
    """An entry's file."""
    rest = _LENGTHS.pack(len(key), len(payload)) + key.encode() + payload
    return MAGIC + hashlib.sha256(rest).digest() + rest


def unframe(key: str, data: bytes) -> bytes | None:
    """The payload of an entry's file, or None if anything about it is not as `frame` made it."""
    if not _is_head(key, data, len(data)):
        return None
    digest = hashlib.sha256(memoryview(data)[len(MAGIC) + 32 :]).digest()
    begin = _HEAD_BYTES + len(key)
    if digest != data[len(MAGIC) : len(MAGIC) + 32] or data[_HEAD_BYTES:begin] != key.encode():
        return None
    return data[begin:]


def _is_head(key: str, head: bytes, size: int) -> bool:
    """Whether a file of this size that begins with these bytes may be the key's entry."""
    if len(head) < _HEAD_BYTES or not head.startswith(MAGIC):
        return False
    n_key, n_payload = _LENGTHS.unpack_from(head, len(MAGIC) + 32)
    return n_key == len(key) and size == _HEAD_BYTES + n_key + n_payload


# ---------------------------------------------------------------- the directory


def default_directory() -> Path:
    """TAPEJIT_CACHE_DIR, else tapejit/ under XDG_CACHE_HOME, else under ~/.cache.

    It starts with "~", and is of no use, where there is no home directory.
    """
    own = os.environ.get("TAPEJIT_CACHE_DIR")
    if own:
        return Path(own).absolute()
    # The XDG specification: a relative path there is to be ignored.
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "tapejit"


def is_enabled() -> bool:
    """Whether TAPEJIT_CACHE allows a cache on disk."""
    return os.environ.get("TAPEJIT_CACHE", "1").strip().lower() not in ("0", "off", "no", "false")


def _prepare(directory: Path):
    """Make the directory, or raise OSError if it is not one that only we can write in."""
    if not directory.is_absolute():
        raise NotADirectoryError("there is no home directory")
    os.makedirs(directory.parent, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    found = os.stat(directory)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError("it is no directory")
    if hasattr(os, "getuid"):  # Windows has neither owners by number nor these mode bits
        if found.st_uid != os.getuid():
            raise PermissionError(f"it belongs to user {found.st_uid}, not to {os.getuid()}")
        if found.st_mode & 0o022:
            raise PermissionError("others can write in it; chmod go-w would mend that")


_warned = False


def _warn_once(directory: Path, error: Exception):
    """One warning in a process, whatever goes wrong how often."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"tapejit: compiled code is not kept on disk: {directory}: {error}\n"
            "  try  another directory in TAPEJIT_CACHE_DIR, or TAPEJIT_CACHE=0 to do without",
            RuntimeWarning,
            stacklevel=3,
        )


# ---------------------------------------------------------------- the writer


class _Writer:
    """Writes entries behind the program's back: 0.4 ms each, a tenth of a small program's compile.

    The thread lives while there is something to write.  A child of fork has neither thread nor
    list: what its parent had to write, its parent writes.
    """

    DELAY_S = 0.1

    def __init__(self):
        self.forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)

    def forget(self):
        self.waiting: list = []
        self.thread: threading.Thread | None = None
        self.lock = threading.Lock()  # of the two above
        self.writing = threading.Lock()

    def add(self, entry):
        with self.lock:
            self.waiting.append(entry)
            if self.thread is None:
                self.thread = threading.Thread(target=self.run, daemon=True, name="tapejit cache")
                try:
                    self.thread.start()
                except RuntimeError:  # no more threads: the next entry tries again, or the exit
                    self.thread = None

    def run(self):
        while True:
            time.sleep(self.DELAY_S)
            self.flush()
            with self.lock:
                if not self.waiting:
                    self.thread = None
                    return

    def flush(self):
        """Write what waits, and what the thread is just writing: at exit it would not finish."""
        with self.writing:
            with self.lock:
                waiting, self.waiting = self.waiting, []
            for store, key, payload in waiting:
                with contextlib.suppress(Warning):  # as an error (-W error): nobody to catch it
                    store.put(key, payload)


_WRITER = _Writer()
atexit.register(_WRITER.flush)


# ---------------------------------------------------------------- the store


class ObjectStore:
    """Bytes by key, in a directory that processes share.

    A key is a content hash: letters and digits only.  Neither method raises on account of the
    disk.
    """

    def __init__(self, directory: str | os.PathLike | None = None, limit_bytes: int = LIMIT_BYTES):
        self.directory = default_directory() if directory is None else Path(directory).absolute()
        self.limit_bytes = limit_bytes
        self._is_usable: bool | None = None if is_enabled() else False
        # What may be written before the directory is looked through again.  That takes 2 us a
        # file, so a process that writes one kernel should seldom do it: one in limit/8 bytes.
        self._room_bytes = int.from_bytes(os.urandom(2), "little") / 2**16 * limit_bytes / 8

    def get(self, key: str) -> bytes | None:
        """The payload stored under a key, or None."""
        if not self._usable():
            return None
        try:
            data = self._read(key)
        except (OSError, MemoryError):
            return None
        return None if data is None else unframe(key, data)

    def put_later(self, key: str, payload: bytes):
        """`put`, by a thread that waits until the caller's hurry is over, or at exit."""
        _WRITER.add((self, key, payload))

    def put(self, key: str, payload: bytes):
        """Store a payload, over whatever was there."""
        if not self._usable():
            return
        try:
            self._settle(self._path(key), frame(key, payload))
        except (OSError, MemoryError) as error:
            _warn_once(self.directory, error)

    def put_text(self, key: str, text: str) -> Path | None:
        """Write a text as KEY.tj.py, for people and debuggers: nothing runs what is in it.

        Returns where it is, with this text in it whatever was there before, or None if the disk
        cannot be used.
        """
        if not self._usable():
            return None
        path, data = self._path(key, _TEXT), text.encode()
        with contextlib.suppress(OSError):
            if path.stat().st_size == len(data) and path.read_bytes() == data:
                return path
        try:
            self._settle(path, data)
        except (OSError, MemoryError) as error:
            _warn_once(self.directory, error)
            return None
        return path

    def _path(self, key: str, suffix: str = _SUFFIX) -> Path:
        assert key.isascii() and key.isalnum(), key
        return self.directory / (key + suffix)

    def _usable(self) -> bool:
        """Prepare the directory at the first use, so that importing tapejit touches no disk."""
        if self._is_usable is None:
            try:
                _prepare(self.directory)
                self._is_usable = True
            except OSError as error:
                self._is_usable = False
                _warn_once(self.directory, error)
        return self._is_usable

    def _read(self, key: str) -> bytes | None:
        """The bytes of a key's file, if it is a file and its head fits its size."""
        path = self._path(key)
        # O_NONBLOCK: a FIFO in place of an entry must not hang us
        handle = os.open(path, os.O_RDONLY | _BINARY | getattr(os, "O_NONBLOCK", 0))
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size > self.limit_bytes:
                return None
            data = os.read(handle, _HEAD_BYTES)
            if not _is_head(key, data, found.st_size):
                return None
            while len(data) < found.st_size:
                more = os.read(handle, found.st_size - len(data))
                if not more:
                    return None
                data += more
        finally:
            os.close(handle)
        if abs(time.time() - found.st_mtime) > _TOUCH_AFTER_S:
            with contextlib.suppress(OSError):
                os.utime(path)
        return data

    def _settle(self, path: Path, data: bytes):
        """Write a file, in a directory that has room for it."""
        try:
            self._write(path, data)
        except FileNotFoundError:  # somebody cleared the cache while we run
            _prepare(self.directory)
            self._write(path, data)
        self._room_bytes -= len(data)
        if self._room_bytes < 0:
            self._evict()

    def _write(self, path: Path, data: bytes):
        """Write a file that appears complete or not at all."""
        temporary = self.directory / f"{os.urandom(16).hex()}.tmp"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
        try:
            try:
                written = 0
                while written < len(data):
                    written += os.write(handle, memoryview(data)[written:])
            finally:
                os.close(handle)
            try:
                os.replace(temporary, path)
            except IsADirectoryError:  # not ours to delete, so out of the way
                os.rename(path, temporary.with_suffix(".aside"))
                os.replace(temporary, path)
        except BaseException:  # KeyboardInterrupt too
            _unlink(temporary)
            raise

    def _evict(self):
        """Delete the oldest entries when 7/8 of the limit are used, down to 3/4 of it."""
        now = time.time()
        entries, total = [], 0
        for path, size, date in self._listing():
            if path.endswith(".tmp"):
                if abs(now - date) > _STALE_AFTER_S:
                    _unlink(path)
                continue
            # A date from the future (a clock set back) would never be the oldest: call it so.
            entries.append((date if date <= now + _TOUCH_AFTER_S else 0.0, size, path))
            total += size
        if total > self.limit_bytes * 7 // 8:
            for _, size, path in sorted(entries):
                if total <= self.limit_bytes * 3 // 4:
                    break
                _unlink(path)
                total -= size
        self._room_bytes = self.limit_bytes / 8  # and no more: other processes write too

    def _listing(self) -> list[tuple[str, int, float]]:
        """Path, size and date of our files; those that vanish meanwhile are left out."""
        listing = []
        with os.scandir(self.directory) as files:
            for file in files:
                if file.name.endswith((_SUFFIX, _TEXT, ".tmp")):
                    with contextlib.suppress(OSError):
                        found = file.stat(follow_symlinks=False)
                        listing.append((file.path, found.st_size, found.st_mtime))
        return listing


def _unlink(path: str | os.PathLike):
    """Delete a file, unless another process was faster or it cannot be deleted."""
    with contextlib.suppress(OSError):
        os.unlink(path)


@functools.cache
def shared_store() -> ObjectStore:
    """The process's store, where the environment wants it."""
    return ObjectStore()
