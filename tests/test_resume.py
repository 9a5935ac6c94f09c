"""Resume states and whole files."""

import os
import pickle

import pytest
import torch

from td_interference.files import atomic_path, write_text
from td_interference.resume import ResumeState

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


def test_damaged_state_is_ignored_and_said(tmp_path, caplog):
    resume = ResumeState(tmp_path, {})
    resume.save(STATE)
    resume.path.write_bytes(resume.path.read_bytes()[:100])
    assert resume.load() is None
    assert "cannot be read" in caplog.text


def test_a_malicious_state_is_not_executed(tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    resume = ResumeState(tmp_path / "job", {})
    resume.save(STATE)
    torch.save({"version": 1, "identity": "", "state": Malicious()}, resume.path)
    assert resume.load() is None
    resume.path.write_bytes(pickle.dumps(Malicious()))
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
