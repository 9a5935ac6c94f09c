"""Resume states and whole files."""

import hashlib
import os
import pickle
import resource
import signal

import pytest
import torch

from td_interference.jobs import ownership
from td_interference.jobs.resume import ResumeState, _write
from td_interference.storage.files import atomic_path, write_text

STATE = {"step": 3, "weights": torch.arange(4.0), "names": ["a"], "nested": {"big": 2**100}}


def test_round_trip_and_removal(tmp_path):
    resume = ResumeState(tmp_path / "job", {"seed": 0})
    assert resume.load() is None
    resume.save(STATE)
    loaded = ResumeState(tmp_path / "job", {"seed": 0}).load()
    assert torch.equal(loaded.pop("weights"), STATE["weights"])
    assert loaded == {key: value for key, value in STATE.items() if key != "weights"}
    resume.remove()
    assert not (tmp_path / "job").exists() and resume.load() is None


def test_state_of_other_settings_is_ignored_and_said(tmp_path, caplog):
    ResumeState(tmp_path, {"seed": 0}).save(STATE)
    assert ResumeState(tmp_path, {"seed": 1}).load() is None
    assert "belongs to other settings" in caplog.text


def files(directory):
    """All but what says whose the directory is."""
    return [path for path in directory.iterdir() if path.name != ownership.FILE_NAME]


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def test_any_damage_falls_back_to_the_state_before(tmp_path, caplog):
    """Also a flipped bit within a tensor, which torch.load does not see."""
    resume = ResumeState(tmp_path, {})
    resume.save({**STATE, "step": 2})
    resume.save(STATE)
    newest, good = resume.last_good, resume.last_good.read_bytes()
    weights = good.index(STATE["weights"].numpy().tobytes())
    damaged = [b"", good[:10], good[:-1], flipped(good, weights), flipped(good, len(good) - 1)]
    for content in damaged:
        newest.write_bytes(content)
        caplog.clear()
        assert resume.load()["step"] == 2
        assert f"{newest} cannot be read" in caplog.text
    newest.write_bytes(good)
    assert resume.load()["step"] == 3


def test_two_good_states_are_kept_and_a_damaged_one_never_displaces_one(tmp_path):
    resume = ResumeState(tmp_path, {})
    for step in range(4):
        resume.save({"step": step})
        assert len(files(tmp_path)) == min(step + 1, 2)
    resume.last_good.write_bytes(b"")
    again = ResumeState(tmp_path, {})
    assert again.load() == {"step": 2}
    again.save({"step": 9})
    again.last_good.write_bytes(b"")
    assert ResumeState(tmp_path, {}).load() == {"step": 2}


def test_what_a_killed_save_left_is_removed(tmp_path):
    ResumeState(tmp_path, {}).save(STATE)
    (tmp_path / ".state-000002-abc.partial.pt").write_bytes(b"half")
    assert ResumeState(tmp_path, {}).load()["step"] == 3
    assert len(files(tmp_path)) == 1


def test_a_full_disk_costs_no_state_and_no_job(tmp_path, caplog):
    resume = ResumeState(tmp_path, {}, interval=60)
    resume.save(STATE)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # or the limit kills the process
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        resume.save({"large": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "no resume state was written" in caplog.text and str(resume.last_good) in caplog.text
    assert len(files(tmp_path)) == 1 and ResumeState(tmp_path, {}).load()["step"] == 3
    assert not resume.due(), "the next try is an interval away"


def test_a_malicious_state_is_not_executed(tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    resume = ResumeState(tmp_path / "job", {})
    resume.save(STATE)
    _write(resume.last_good, {"version": 1, "identity": "", "state": Malicious()})
    assert resume.load() is None
    malicious = pickle.dumps(Malicious())
    resume.last_good.write_bytes(malicious + hashlib.sha256(malicious).digest())
    assert resume.load() is None
    assert not (tmp_path / "executed").exists()


def test_due_after_the_interval(tmp_path):
    assert ResumeState(tmp_path, {}, interval=0).due()
    assert not ResumeState(tmp_path, {}, interval=60).due()


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
