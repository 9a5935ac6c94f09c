"""No command writes over what it reads, nor over what is there unasked."""

import os

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

from td_interference import pictures
from td_interference.cli import app
from td_interference.commands.inspection import write_montage
from td_interference.commands.overwriting import check_output
from td_interference.errors import UserError
from td_interference.storage import hdf5, kinds


def symbolic(output, given):
    output.symlink_to(given)


def hard(output, given):
    os.link(given, output)


def through_a_folder(output, given):
    (output.parent / "other").symlink_to(given.parent)
    return output.parent / "other" / given.name


def chain(output, given):
    (output.parent / "between").symlink_to(given)
    output.symlink_to(output.parent / "between")


def itself(output, given):
    return given


def relative(output, given):
    return given.parent / "." / ".." / given.parent.name / given.name


WAYS = [symbolic, hard, through_a_folder, chain, itself, relative]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("option", ["--checkpoints", "--replay", "--objective"])
def test_measure_never_replaces_an_input(tmp_path, way, force, option):
    (tmp_path / "in").mkdir()
    given = tmp_path / "in" / "given.h5"
    given.write_text("mine")
    output = way(tmp_path / "output.h5", given) or tmp_path / "output.h5"
    inputs = {"--checkpoints": "c.h5", "--replay": "r.h5", option: str(given)}
    arguments = [word for pair in inputs.items() for word in pair]
    result = CliRunner().invoke(
        app, ["measure", "gain", *arguments, "--output", str(output), *(["--force"] * force)]
    )
    assert isinstance(result.exception, UserError)
    assert str(result.exception).startswith(f"{output}: --output would replace the input {given}")
    assert given.read_text() == "mine"


def test_windows_are_inputs_each_and_all(tmp_path):
    windows = tmp_path / "windows"
    windows.mkdir()
    (windows / "window-100.h5").write_text("mine")
    for output in (windows / "window-100.h5", windows):
        with pytest.raises(UserError, match="would replace the input"):
            check_output(output, [windows], force=True, option="--output")
    check_output(windows / "new.h5", [windows], force=False, option="--output")


def measurement(path):
    table = kinds.MEASUREMENTS["gain"]
    arrays = {
        name: np.zeros([size if isinstance(size, int) else 1 for size in field.dimensions])
        for name, field in table.fields.items()
    }
    hdf5.write(path, table, arrays, {})


@pytest.mark.parametrize("kind", ["configuration", "picture", "HDF5", "D*", "montage", "figure"])
@pytest.mark.parametrize("option", ["--output", "--montage"])
def test_force_replaces_nothing_that_the_command_did_not_write(tmp_path, replay_path, kind, option):
    there = tmp_path / "there"
    if kind == "configuration":
        there.write_text("scale: smoke\n")
    elif kind == "picture":
        Image.new("L", (3, 3)).save(there, "PNG")
    elif kind == "HDF5":
        with h5py.File(there, "w") as file:
            file["x"] = [1]
    elif kind == "D*":
        there.write_bytes(replay_path.read_bytes())
    elif kind == "montage" and option == "--output":
        write_montage(replay_path, tmp_path / "m.png")
        (tmp_path / "m.png").rename(there)
    elif kind == "montage":
        measurement(there)
    else:
        with pictures.style():
            pictures.write(Figure(), tmp_path / "f.png", caption="td-interference")
        (tmp_path / "f.png").rename(there)
    with pytest.raises(UserError, match=rf"there: is no \w+ of td-.*; give {option} another name"):
        check_output(there, [], force=True, option=option)


def test_what_is_there_is_replaced_by_force_alone(tmp_path):
    there = tmp_path / "there.h5"
    there.write_text("mine")
    with pytest.raises(UserError, match=r"there\.h5: is there already; .* by --force"):
        check_output(there, [tmp_path / "absent"], force=False, option="--output")
    measurement(there)
    check_output(there, [tmp_path / "absent"], force=True, option="--output")
    check_output(tmp_path / "new.h5", [there], force=False, option="--output")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is there already"):
        check_output(tmp_path / "dangling", [there], force=False, option="--output")
    for name, said in (("folder", "is a directory"), ("pipe", "is no plain file")):
        if name == "folder":
            (tmp_path / name).mkdir()
        else:
            os.mkfifo(tmp_path / name)
        with pytest.raises(UserError, match=said):
            check_output(tmp_path / name, [there], force=True, option="--output")


@pytest.mark.parametrize("way", WAYS)
def test_a_montage_is_never_drawn_over_the_replay(tmp_path, replay_path, way):
    (tmp_path / "in").mkdir()
    given = tmp_path / "in" / "given.png"  # a D* under whatever name
    given.write_bytes(replay_path.read_bytes())
    output = way(tmp_path / "output.png", given) or tmp_path / "output.png"
    for force in ([], ["--force"]):
        result = CliRunner().invoke(app, ["inspect", str(given), "--montage", str(output), *force])
        assert "--montage would replace the input" in str(result.exception)
    assert given.read_bytes() == replay_path.read_bytes()


def test_a_montage_replaces_another_one_by_force_alone(tmp_path, replay_path):
    command = ["inspect", str(replay_path), "--montage", str(tmp_path / "a.png")]
    assert CliRunner().invoke(app, command).exit_code == 0
    (tmp_path / "a.png").touch()
    assert "is there already" in str(CliRunner().invoke(app, command).exception)
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
