"""Attacks on the on-disk store: whatever happens to a file, a miss; whatever the disk, no error."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
import stat
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from benchmarks import crowd
from tapejit import cache
from tapejit.cache import MAGIC, ObjectStore, frame, unframe

KEY = hashlib.sha256(b"an IR text").hexdigest()
PAYLOAD = bytes(range(256)) * 3
posix_only = pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX owners and modes")


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    """No warning given yet, no setting from outside."""
    monkeypatch.setattr(cache, "_warned", False)
    for name in ("TAPEJIT_CACHE", "TAPEJIT_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path):
    return ObjectStore(tmp_path / "objects")


def entry_of(store, key=KEY) -> Path:
    return store.directory / f"{key}.tjo"


def signed(rest: bytes, magic: bytes = MAGIC) -> bytes:
    """A frame whose digest is right, whatever it says."""
    return magic + hashlib.sha256(rest).digest() + rest


# ----------------------------------------------------------------------------------- good days


@pytest.mark.parametrize("payload", [b"", b"x", PAYLOAD, bytes(10**6)], ids=len)
def test_what_was_put_is_got(store, payload):
    assert store.get(KEY) is None
    store.put(KEY, payload)
    assert store.get(KEY) == payload
    assert ObjectStore(store.directory).get(KEY) == payload
    assert [file.name for file in store.directory.iterdir()] == [f"{KEY}.tjo"]


@posix_only
def test_directory_and_files_are_the_owners_alone(store):
    store.put(KEY, PAYLOAD)
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry_of(store).stat().st_mode) == 0o600


def test_directory_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cache.default_directory() == tmp_path / ".cache" / "tapejit"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert cache.default_directory() == tmp_path / ".cache" / "tapejit"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.default_directory() == tmp_path / "xdg" / "tapejit"
    monkeypatch.setenv("TAPEJIT_CACHE_DIR", str(tmp_path / "own"))
    assert cache.default_directory() == tmp_path / "own"
    ObjectStore().put(KEY, PAYLOAD)
    assert (tmp_path / "own" / f"{KEY}.tjo").exists()


@pytest.mark.parametrize("value", ["0", "off", " False "])
def test_cache_can_be_switched_off(monkeypatch, tmp_path, value):
    monkeypatch.setenv("TAPEJIT_CACHE", value)
    store = ObjectStore(tmp_path / "objects")
    store.put(KEY, PAYLOAD)
    assert store.get(KEY) is None
    assert not (tmp_path / "objects").exists()


# ------------------------------------------------------------------------------ damaged entries


def test_every_truncation_is_a_miss():
    whole = frame(KEY, PAYLOAD)
    assert all(unframe(KEY, whole[:length]) is None for length in range(len(whole)))
    assert unframe(KEY, whole + b"\0") is None


def test_every_flipped_bit_is_a_miss():
    whole = bytearray(frame(KEY, b"some object code"))
    for position in range(len(whole) * 8):
        whole[position // 8] ^= 1 << position % 8
        assert unframe(KEY, bytes(whole)) is None, position
        whole[position // 8] ^= 1 << position % 8
    assert unframe(KEY, bytes(whole)) == b"some object code"


LENGTHS = cache._LENGTHS.pack
NAME = KEY.encode()
FORGED = {
    "empty": b"",
    "zeros": bytes(500),
    "text": b"not an entry\n" * 50,
    "other version": signed(LENGTHS(64, 1) + NAME + b"x", MAGIC[:-1] + b"\x01"),
    "other key": frame("0" * 64, PAYLOAD),
    "too long a payload": signed(LENGTHS(64, 2**60) + NAME + b"x"),
    "too long a key": signed(LENGTHS(2**32 - 1, 1) + NAME + b"x"),
    "no key": signed(LENGTHS(0, 1) + b"x"),
    "key in the payload": signed(LENGTHS(0, 65) + NAME + b"x"),
    "key is no text": signed(LENGTHS(64, 1) + b"\xff" * 64 + b"x"),
    "head only": signed(LENGTHS(0, 0)),
}


@pytest.mark.parametrize("data", FORGED.values(), ids=FORGED.keys())
def test_forged_entry_is_a_miss_and_is_rewritten(store, data):
    store.put(KEY, b"old")
    entry_of(store).write_bytes(data)
    assert store.get(KEY) is None
    store.put(KEY, PAYLOAD)
    assert store.get(KEY) == PAYLOAD


def test_random_attacks_never_give_a_wrong_payload(store):
    draw = random.Random(7)
    whole = frame(KEY, PAYLOAD)
    store.put(KEY, PAYLOAD)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            kind, at = draw.randrange(3), draw.randrange(len(data))
            if kind == 0:
                data[at] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del data[at:]
                data.extend(b"\0")
            else:
                data[at:at] = draw.randbytes(draw.randint(1, 9))
        entry_of(store).write_bytes(data)
        assert store.get(KEY) in (None, PAYLOAD)
        assert (store.get(KEY) is None) == (bytes(data) != whole)
    store.put(KEY, PAYLOAD)
    assert store.get(KEY) == PAYLOAD


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="FIFOs")
def test_other_things_in_place_of_an_entry(store):
    store.put(KEY, PAYLOAD)
    entry_of(store).unlink()
    os.mkfifo(entry_of(store))
    assert store.get(KEY) is None  # and does not wait for a writer
    store.put(KEY, PAYLOAD)
    assert store.get(KEY) == PAYLOAD
    entry_of(store).unlink()
    entry_of(store).mkdir()
    (entry_of(store) / "kept").write_text("")
    assert store.get(KEY) is None
    store.put(KEY, PAYLOAD)
    assert store.get(KEY) == PAYLOAD
    assert [file.parent.suffix for file in store.directory.glob("*/kept")] == [".aside"]


def test_an_entry_larger_than_the_store_is_not_read(store):
    store.put(KEY, PAYLOAD)
    assert ObjectStore(store.directory, limit_bytes=100).get(KEY) is None


# --------------------------------------------------------------------------- unusable directories


def check_works_without(store, match):
    """At most one warning, no error, nothing kept."""
    with pytest.warns(RuntimeWarning, match=match) as caught:
        for _ in range(3):
            assert store.get(KEY) is None
            store.put(KEY, PAYLOAD)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = ObjectStore(store.directory)
        again.put(KEY, PAYLOAD)
        assert again.get(KEY) is None


def test_file_in_place_of_the_directory(tmp_path):
    (tmp_path / "file").write_text("")
    check_works_without(ObjectStore(tmp_path / "file"), "it is no directory")


def test_file_in_place_of_the_parent(tmp_path):
    (tmp_path / "file").write_text("")
    check_works_without(ObjectStore(tmp_path / "file" / "objects"), "not kept on disk")


@posix_only
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_directory_that_others_can_write_in_is_refused(tmp_path, mode):
    ObjectStore(tmp_path / "objects").put(KEY, PAYLOAD)
    (tmp_path / "objects").chmod(mode)
    check_works_without(ObjectStore(tmp_path / "objects"), "others can write in it")


@posix_only
def test_directory_of_another_user_is_refused(monkeypatch, tmp_path):
    ObjectStore(tmp_path / "objects").put(KEY, PAYLOAD)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    check_works_without(ObjectStore(tmp_path / "objects"), f"it belongs to user {me}")


def test_no_home_directory(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    store = ObjectStore()
    with pytest.warns(RuntimeWarning, match="there is no home directory"):
        assert store.get(KEY) is None
    store.put(KEY, PAYLOAD)


def test_read_only_directory_is_read_and_not_written(monkeypatch, store):
    store.put(KEY, PAYLOAD)

    def refuse(path, flags, *mode, real=os.open):
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.warns(RuntimeWarning, match="Permission denied") as caught:
        store.put("a", PAYLOAD)
        store.put("b", PAYLOAD)
    assert len(caught) == 1
    assert store.get(KEY) == PAYLOAD
    assert store.get("a") is None


@pytest.mark.parametrize("step", ["write", "replace"])
def test_full_disk_leaves_no_trace(monkeypatch, store, step):
    store.put(KEY, b"good")
    full = OSError(errno.ENOSPC, "No space left on device")

    def half(handle, data, real=os.write):
        if len(data) < len(PAYLOAD):
            raise full
        return real(handle, data[: len(data) // 2])

    def refuse(*args):
        raise full

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(os, "write", half)
        else:
            patch.setattr(os, "replace", refuse)
        with pytest.warns(RuntimeWarning, match="No space left"):
            store.put(KEY, PAYLOAD)
    assert [file.name for file in store.directory.iterdir()] == [f"{KEY}.tjo"]
    assert store.get(KEY) == b"good"
    store.put(KEY, PAYLOAD)  # space again: it is used again
    assert store.get(KEY) == PAYLOAD


def test_interrupt_leaves_no_trace(monkeypatch, store):
    store.put(KEY, b"good")

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", interrupt)
        store.put(KEY, PAYLOAD)
    assert [file.name for file in store.directory.iterdir()] == [f"{KEY}.tjo"]


def test_cleared_cache_is_made_again(store):
    store.put(KEY, PAYLOAD)
    entry_of(store).unlink()
    store.directory.rmdir()
    assert store.get(KEY) is None
    store.put(KEY, PAYLOAD)
    assert store.get(KEY) == PAYLOAD


# ----------------------------------------------------------------------------- size and dates


def test_oldest_entries_go_first(tmp_path):
    limit = 40_000
    store = ObjectStore(tmp_path / "objects", limit)
    now = time.time()
    for i in range(120):
        store.put(f"key{i}", bytes(1000))
        if entry_of(store, f"key{i}").exists():
            os.utime(entry_of(store, f"key{i}"), (now, now - 2000 + i))
        assert sum(file.stat().st_size for file in store.directory.iterdir()) <= limit
    kept = [i for i in range(120) if store.get(f"key{i}") is not None]
    assert kept[-1] >= 118  # the newest may go while it still has its own, earlier date
    assert kept == list(range(kept[0], kept[-1] + 1))
    assert 25 <= len(kept) <= 36


def test_texts_go_too_and_files_of_others_stay(tmp_path):
    """A text is written where it is not, or is not as it should be, and counts like an entry."""
    store = ObjectStore(tmp_path / "objects", 20_000)
    path = store.put_text("kernel0", "def kernel(): pass\n")
    (store.directory / "mine.py").write_text("import this\n")
    os.utime(store.directory / "mine.py", (1, 1))
    for damage in (b"", b"def kernel(): exit()\n", b"def kernel(): fail\n"):
        path.write_bytes(damage)
        assert store.put_text("kernel0", "def kernel(): pass\n") == path
        assert path.read_text() == "def kernel(): pass\n"
    os.utime(path, (time.time() - 5000,) * 2)
    assert store.put_text("kernel0", "def kernel(): pass\n") == path
    assert path.stat().st_mtime < time.time() - 4000  # nothing to write, nothing written
    for i in range(40):
        store.put_text(f"kernel1{i}", "#" * 1000)
    assert not path.exists() and (store.directory / "mine.py").exists()
    assert sum(file.stat().st_size for file in store.directory.iterdir()) <= 20_000


@pytest.mark.parametrize("date", [0, 1, 2**31 + 5, 2**33], ids=str)
def test_odd_dates_are_mended_by_use(store, date):
    store.put(KEY, PAYLOAD)
    os.utime(entry_of(store), (date, date))
    assert store.get(KEY) == PAYLOAD
    assert abs(entry_of(store).stat().st_mtime - time.time()) < 600


def test_entries_from_the_future_are_the_first_to_go(tmp_path):
    store = ObjectStore(tmp_path / "objects", 20_000)
    future = time.time() + 10**8
    for i in range(5):
        store.put(f"future{i}", bytes(1000))
        os.utime(entry_of(store, f"future{i}"), (future, future))
    for i in range(12):
        store.put(f"now{i}", bytes(1000))
    store._evict()
    kept = {file.stem for file in store.directory.iterdir()}
    assert {f"now{i}" for i in range(12)} <= kept
    assert sum(name.startswith("future") for name in kept) < 5


def test_temporary_files_of_dead_processes_are_removed(store):
    store.put(KEY, PAYLOAD)
    old, young, other = (store.directory / name for name in ("a.tmp", "b.tmp", "notes.txt"))
    for file in (old, young, other):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    store._evict()
    assert not old.exists()
    assert young.exists() and other.exists()
    assert store.get(KEY) == PAYLOAD


# ------------------------------------------------------------------------------ many processes

WORKER = """
import importlib.util, random, sys
spec = importlib.util.spec_from_file_location("cache", sys.argv[1])
cache = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cache)
number, draw = int(sys.argv[3]), random.Random(int(sys.argv[3]))
hits = 0
for turn in range(150):
    store = cache.ObjectStore(sys.argv[2], limit_bytes=100_000)
    key = f"key{draw.randrange(6)}"
    found = store.get(key)
    if found is not None:
        hits += 1
        size, name, rest = found.split(b"|", 2)
        assert name == key.encode() and rest == bytes([len(rest) % 256]) * int(size), found[:40]
    size = draw.randrange(1, 20_000)
    store.put(key, b"%d|%s|" % (size, key.encode()) + bytes([size % 256]) * size)
print(hits)
"""


def test_eight_processes_share_a_directory(tmp_path):
    command = [sys.executable, "-W", "error", "-c", WORKER, cache.__file__, str(tmp_path / "o")]
    workers = [
        subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for i in range(8)
    ]
    for worker in workers:
        hits, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors.decode()
        assert int(hits) > 20
    assert not [file for file in (tmp_path / "o").iterdir() if file.suffix != ".tjo"]


# ---------------------------------------------------------------- later


def test_later_is_soon(store):
    store.put_later(KEY, PAYLOAD)
    assert store.get(KEY) is None
    until = time.monotonic() + 10
    while store.get(KEY) is None and time.monotonic() < until:
        time.sleep(0.01)
    assert store.get(KEY) == PAYLOAD


def test_a_writer_whose_warnings_are_errors_goes_on(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cache._WRITER, "waiting", [])
    cache._WRITER.waiting.append((ObjectStore(tmp_path / "file"), KEY, PAYLOAD))
    cache._WRITER.waiting.append((ObjectStore(tmp_path / "objects"), KEY, PAYLOAD))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache._WRITER.flush()
    assert ObjectStore(tmp_path / "objects").get(KEY) == PAYLOAD


def test_later_is_at_exit_at_the_latest(tmp_path):
    code = (
        "from tapejit.cache import ObjectStore\n"
        f"ObjectStore({str(tmp_path / 'objects')!r}).put_later({KEY!r}, {PAYLOAD!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert ObjectStore(tmp_path / "objects").get(KEY) == PAYLOAD


# ---------------------------------------------------------------- a crowd


@posix_only
def test_a_crowd_on_one_cold_cache_neither_errs_nor_waits(tmp_path):
    """benchmarks/crowd.py, small; one process is stopped meanwhile, wherever it may be."""
    environment = os.environ | {"TAPEJIT_CACHE_DIR": str(tmp_path / "o"), "TAPEJIT_CACHE": "1"}
    stopped, *others = [crowd.start(tmp_path / "o", seed, 20, environment) for seed in range(4)]
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "o").exists() and time.monotonic() < until:
            time.sleep(0.01)
        stopped.send_signal(signal.SIGSTOP)
        total = crowd.joined([crowd.tally(process, 60.0) for process in others])
    finally:
        stopped.send_signal(signal.SIGCONT)
    last = crowd.tally(stopped, 60.0)
    assert (total.rounds, total.wrong, total.torn, total.most_compiles) == (60, 0, 0, 1)
    assert (last.wrong, last.torn) == (0, 0)
    assert not list((tmp_path / "o").glob("*.tmp"))
