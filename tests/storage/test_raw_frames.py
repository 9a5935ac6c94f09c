"""One copy of D*'s frames for all processes of a machine: whole, right, private, and removed."""

import fcntl
import hashlib
import logging
import multiprocessing
import os
import resource
import signal
import stat
import tempfile
import time
import warnings
from contextlib import contextmanager

import identities
import numpy as np
import pytest
import torch
from peak_memory import peak_memory
from problems import replay_arrays

from td_interference.errors import UserError
from td_interference.replay import Replay
from td_interference.storage import hdf5, kinds, raw_frames
from td_interference.storage.scratch import Scratch, Unusable
from td_interference.storage.seal import sealed_digest

DIGEST, OTHER = "a" * 64, "b" * 64
SHAPE = (5000, 6, 4)  # ten pieces
COPY_BYTES = 4096 + 5000 * 6 * 4
FRAMES = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
FRAMES_DIGEST = hashlib.sha256(FRAMES.tobytes()).hexdigest()
PROCESSES = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """The directory of the copies, which does not exist yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    return Scratch.path()


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def read_into(first, out):
    assert not out.any()
    out[:] = FRAMES[first : first + len(out)]


def shared(digest=DIGEST, read_into=read_into):
    return raw_frames.shared(digest, SHAPE, read_into)


def never(first, out):
    raise AssertionError("there is a copy")


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_copy_is_made_once_and_is_what_was_read(scratch, said):
    made = shared()
    assert np.array_equal(made, FRAMES)
    assert np.array_equal(shared(read_into=never), FRAMES)
    (copy,) = scratch.iterdir()
    assert copy.name == f"{DIGEST}.frames" and copy.stat().st_size == COPY_BYTES
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
    first, content = copy.read_bytes().split(b"\n", 1)[0].decode(), copy.read_bytes()[4096:]
    assert first.endswith(f"5000 x 6 x 4, SHA-256 from byte 4097 on: {FRAMES_DIGEST}")
    assert hashlib.sha256(content).hexdigest() == FRAMES_DIGEST
    assert not said()


def test_what_is_written_to_a_map_stays_in_it():
    mine, theirs = shared(), shared()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.from_numpy(mine).fill_(7)
    assert (mine == 7).all() and np.array_equal(theirs, FRAMES)
    assert np.array_equal(shared(read_into=never), FRAMES)


def test_a_shared_replay_has_the_same_bits(replay_path, arrays, scratch):
    alone = Replay.load(replay_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both = [Replay.load(replay_path, shared=True) for _ in range(2)]
    assert [path.name for path in scratch.iterdir()] == [f"{sealed_digest(replay_path)}.frames"]
    index = torch.arange(len(alone))
    for other in both:
        for one, two in zip(alone.transitions(index), other.transitions(index), strict=True):
            assert torch.equal(one, two) and one.dtype == two.dtype
        assert torch.equal(alone._stacks, other._stacks)
        assert alone._stacks.stride() == other._stacks.stride()


def test_a_changed_file_has_a_copy_of_its_own(replay_path, tmp_path, scratch):
    path = tmp_path / "d.h5"
    for seed in (1, 2):
        arrays = replay_arrays(seed=seed)
        hdf5.write(path, kinds.REPLAY, arrays, identities.of_replay())
        loaded = Replay.load(path, shared=True)
        assert np.array_equal(loaded.observation(torch.tensor([9]))[0, 3], arrays["frames"][9])
    assert len(list(scratch.iterdir())) == 2


def test_a_damaged_or_bad_file_is_refused_all_the_same(replay_path, tmp_path):
    Replay.load(replay_path, shared=True)
    path = tmp_path / "d.h5"
    path.write_bytes(replay_path.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match="damaged"):
        Replay.load(path, shared=True)


def test_processes_that_begin_together_make_one_copy(tmp_path, scratch):
    readings = tmp_path / "readings"

    def slowly(first, out):
        with readings.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.1)
        read_into(first, out)

    def work():
        os._exit(not np.array_equal(shared(read_into=slowly), FRAMES))

    processes = [PROCESSES.Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    who = readings.read_text().split()
    assert len(who) == 10 and len(set(who)) == 1  # each piece once
    assert [path.name for path in scratch.iterdir()] == [f"{DIGEST}.frames"]


def test_a_killed_maker_leaves_nothing_half_even_to_who_waits_for_it(tmp_path, scratch):
    half, waiting = tmp_path / "half", tmp_path / "waiting"

    def stop(first, out):
        if first:
            half.touch()
            time.sleep(60)
        read_into(first, out)

    def wait():
        waiting.touch()
        os._exit(not np.array_equal(shared(), FRAMES))

    maker = PROCESSES.Process(target=shared, kwargs={"read_into": stop})
    maker.start()
    wait_for(half.exists)
    waiter = PROCESSES.Process(target=wait)
    waiter.start()
    wait_for(waiting.exists)
    time.sleep(0.2)
    assert [path.name for path in scratch.iterdir()] == [f"{DIGEST}.frames.partial"]
    os.kill(maker.pid, signal.SIGKILL)
    waiter.join(60)
    assert waiter.exitcode == 0
    assert [path.name for path in scratch.iterdir()] == [f"{DIGEST}.frames"]


def test_a_maker_that_never_ends_is_not_waited_for(scratch, monkeypatch, said):
    monkeypatch.setattr(raw_frames, "_PATIENCE", 0.1)
    scratch.mkdir(0o700)
    with open_locked(scratch / f"{DIGEST}.frames.partial"):
        assert shared() is None
    assert len(said()) == 1 and "has not made the copy" in said()[0]


@contextmanager
def open_locked(path):
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_full_disk_leaves_nothing_and_says_so_in_a_line(scratch, said):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        assert shared() is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(said()) == 1 and said()[0].endswith("File too large")
    assert not list(scratch.iterdir())
    assert np.array_equal(shared(), FRAMES)


@pytest.mark.parametrize(("free", "is_made"), [(2.1, True), (1.9, False)])
def test_a_copy_takes_no_more_than_half_of_what_is_free(free, is_made, monkeypatch, said, scratch):
    monkeypatch.setattr(Scratch, "free", lambda self: int(free * FRAMES.nbytes))
    assert (shared() is not None) == is_made
    assert len(said()) == (not is_made) and len(list(scratch.iterdir())) == is_made


def test_scratch_that_cannot_be_written_to_falls_back_to_memory(tmp_path, monkeypatch, said):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert shared() is None
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    assert shared() is None
    assert len(said()) == 2


def test_without_locks_nothing_is_shared(monkeypatch, said, scratch):
    def refuse(file, kind):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert shared() is None
    assert len(said()) == 1 and "No locks" in said()[0]


def test_what_reading_raises_is_raised_and_leaves_nothing(scratch):
    def damaged(first, out):
        raise UserError("the file is damaged")

    with pytest.raises(UserError, match="damaged"):
        shared(read_into=damaged)
    assert not list(scratch.iterdir())


def test_what_is_written_wrongly_is_not_used(scratch, monkeypatch, said):
    pread = os.pread
    for last in (False, True):  # a piece that is wrong, the first or the last

        def turned(file, n_bytes, place, last=last):
            content = pread(file, n_bytes, place)
            is_it = last == (place + n_bytes == COPY_BYTES)
            return content[:-1] + bytes([content[-1] ^ 1]) if is_it else content

        monkeypatch.setattr(os, "pread", turned)
        assert shared() is None
    assert len(said()) == 2 and "read back" in said()[1] and not list(scratch.iterdir())


def test_a_directory_that_is_a_link_is_not_used(tmp_path, scratch, said):
    victim = tmp_path / "victim"
    victim.mkdir(0o700)
    (victim / f"{OTHER}.frames").touch(0o600)
    scratch.symlink_to(victim)
    assert shared() is None
    raw_frames.remove_unused()
    assert scratch.is_symlink() and [path.name for path in victim.iterdir()] == [f"{OTHER}.frames"]
    assert len(said()) == 1


@pytest.mark.parametrize("name", [f"{DIGEST}.frames", f"{DIGEST}.frames.partial"])
def test_a_link_in_the_directory_is_not_followed(name, tmp_path, scratch):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    victim.chmod(0o600)
    scratch.mkdir(0o700)
    (scratch / name).symlink_to(victim)
    assert shared() is None
    raw_frames.remove_unused()
    assert victim.read_bytes() == b"precious" and (scratch / name).is_symlink()


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o777])
def test_a_directory_open_to_others_is_not_used(mode, scratch, said):
    scratch.mkdir()
    scratch.chmod(mode)
    assert shared() is None and not list(scratch.iterdir())
    assert len(said()) == 1 and f"is not yours alone (mode {mode:o})" in said()[0]


def test_a_copy_open_to_others_is_not_used(scratch, said):
    shared()
    (copy,) = scratch.iterdir()
    copy.chmod(0o644)
    assert shared() is None
    raw_frames.remove_unused()
    assert copy.exists() and "mode 644" in said()[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
@pytest.mark.parametrize("which", ["directory", "copy"])
def test_what_is_of_another_user_is_neither_used_nor_removed(which, scratch, said):
    shared()
    (copy,) = scratch.iterdir()
    os.chown(scratch if which == "directory" else copy, 12345, -1)
    assert shared() is None and len(said()) == 1
    raw_frames.remove_unused()
    assert copy.exists()


@pytest.mark.parametrize("damage", ["short", "long", "empty", "shape", "format"])
def test_a_copy_of_another_size_or_form_is_made_anew(damage, scratch):
    shared()
    (copy,) = scratch.iterdir()
    content = copy.read_bytes()
    copy.write_bytes(
        {
            "short": content[:-1],
            "long": content + b"0",
            "empty": b"",
            "shape": content.replace(b"5000 x 6 x 4", b"5000 x 4 x 6"),
            "format": content.replace(b"frames 1,", b"frames 0,"),
        }[damage]
    )
    assert np.array_equal(shared(), FRAMES) and copy.read_bytes() == content


def test_a_copy_stays_while_it_is_mapped(scratch):
    frames = shared()
    foreign = [scratch / name for name in ("c.frames", f"{DIGEST}.frames.txt", ".own")]
    for path in foreign:
        path.touch(0o600)
    raw_frames.remove_unused()
    assert len(list(scratch.iterdir())) == 4 and np.array_equal(frames, FRAMES)
    del frames
    raw_frames.remove_unused()
    assert sorted(scratch.iterdir()) == sorted(foreign)
    for path in foreign:
        path.unlink()
    raw_frames.remove_unused()
    assert not scratch.exists()


def test_a_part_stays_while_it_is_written(scratch):
    scratch.mkdir(0o700)
    part = scratch / f"{DIGEST}.frames.partial"
    with open_locked(part):
        raw_frames.remove_unused()
        assert part.exists()
    raw_frames.remove_unused()
    assert not scratch.exists()


@pytest.mark.parametrize(
    ("copies", "kept"), [(20, "abc"), (9, "bc"), (7.9, "c"), (3.9, ""), (2.1, "")]
)
@pytest.mark.parametrize("scarce", ["disk", "memory"])
def test_unused_copies_are_kept_while_there_is_room(copies, kept, scarce, scratch, monkeypatch):
    """Those used last; `copies` says how many would fit into what is free."""
    for age, name in ((300, "a"), (200, "b"), (100, "c")):
        shared(name * 64)
        os.utime(scratch / f"{name * 64}.frames", (time.time() - age,) * 2)
    free = {"disk": int((copies + 2) * COPY_BYTES), "memory": int(copies * COPY_BYTES)}
    monkeypatch.setattr(Scratch, "free", lambda self: free["disk"] if scarce == "disk" else 10**9)
    monkeypatch.setattr(
        raw_frames, "free_memory", lambda: free["memory"] if scarce == "memory" else None
    )
    shared("d" * 64)
    assert sorted(path.name[0] for path in scratch.iterdir()) == sorted(kept + "d")


def test_a_copy_that_was_not_used_for_a_day_is_removed(scratch):
    for hours, name in ((25, "a"), (23, "b")):
        shared(name * 64)
        os.utime(scratch / f"{name * 64}.frames", (time.time() - hours * 3600,) * 2)
    shared("c" * 64)
    assert sorted(path.name[0] for path in scratch.iterdir()) == ["b", "c"]
    shared("b" * 64)  # a use
    assert time.time() - (scratch / f"{'b' * 64}.frames").stat().st_mtime < 60


def test_scratch_is_where_the_environment_says(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", os.sep)
    assert Scratch.path().parent.samefile(os.sep)
    with pytest.raises((OSError, Unusable)), Scratch.opened():
        pass


def test_making_a_copy_takes_little_memory(scratch):
    shape = (12_000, 84, 84)
    with peak_memory() as peak:
        raw_frames.shared(DIGEST, shape, lambda first, out: out.fill(1))
    assert peak.megabytes < 0.3 * np.prod(shape) / 1e6
