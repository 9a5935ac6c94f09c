"""Generated nonsense never ends in a traceback: one line, an error of usage, or a good result.

The inputs are the same in every run; what was found once stands as an explicit example.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from problems import replay_arrays
from typer.testing import CliRunner

from td_interference.agents.expert import file
from td_interference.cli import app
from td_interference.commands.inspection import summarise
from td_interference.datasets.prepare import prepare_dataset
from td_interference.errors import UserError, explained
from td_interference.planning import config
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.plan import make_plan
from td_interference.replay import Replay
from td_interference.storage import hdf5, kinds

ROOT = Path(__file__).parent.parent
RUNNER = CliRunner()


def nonsense(count):
    """Run a test on `count` generated inputs, in `make test` on the first tenth of them."""
    thorough = settings.get_current_profile_name() == "thorough"
    return settings(
        max_examples=count if thorough else count // 10,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def one_line(call, *arguments):
    """Call; an error must be the user's, in one line."""
    try:
        call(*arguments)
    except UserError as error:
        assert "\n" not in str(error)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2000, 2000)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["td_lambda", "ms_pacman", "1e-3", "nan", "inf", "true", ".py", "9" * 400])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=6,
)


@nonsense(3000)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf8", "replace")))
@example(b"a: 2001-99-99")
@example(b"a: &a [*a]")
@example(b"? {a: b}\n: c")
@example(b"a: " + b"[" * 3000)
@example(b"a: " + b"9" * 5000)
@example(b"!!python/object/apply:os.mkdir [executed]")
def test_yaml(folder, content):
    (folder / "config.yaml").write_bytes(content)
    one_line(config.read_yaml, folder / "config.yaml")


@cache
def known_paths():
    """Every key of the scales, as a path, and the files read once."""
    content = {path: config.read_yaml(path) for path in (ROOT / "workflow").rglob("*.yaml")}
    smoke = content[ROOT / "workflow" / "scales" / "smoke.yaml"]
    paths, waiting = [], [((), smoke)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, key), below) for key, below in value.items()]
        if path:
            paths.append(path)
    return content, sorted(paths)


def nested(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


CYCLE = {"replay": {}}
CYCLE["replay"]["replay"] = CYCLE
BOMB = yaml.safe_load(
    "a: &a [1,1,1,1,1,1,1,1,1]\n"
    + "\n".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]" for i in range(9)
    )
)


@nonsense(2500)
@given(st.integers(0, 10**6), VALUES, st.sampled_from(config.SCALES[:2]))
@example(0, {"\n": None}, "smoke")
@example(0, {"a\x1b[2J": 1}, "smoke")
def test_configuration(number, value, scale):
    content, paths = known_paths()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "read_yaml", content.__getitem__)
        user = {"scale": scale, "device": "cpu", **nested(paths[number % len(paths)], value)}
        one_line(make_plan, user, ROOT / "workflow")


@pytest.mark.parametrize(
    "user",
    [
        CYCLE,
        BOMB,
        {"scale": "smoke", "replay": {"transitions": BOMB}},
        {"scale": "smoke", "experiments": {"td_lambda": {"lambdas": BOMB["j"]}}},
        {"scale": ["smoke"]},
        {None: 1, 2: 3, "scale": "smoke"},
        {"scale": "smoke", "statistics": {"confidence": float("nan")}},
        {"scale": "smoke", "experiments": {"td_lambda": {"learning_rates": [float("inf")]}}},
        {"scale": "smoke", "experiments": {"td_lambda": {"learning_rates": ["nan"]}}},
        {"scale": "smoke", "experiments": {"td_lambda": {"n_seeds": 10**9}}},
        {"scale": "smoke", "own_objectives": ["a\0.py"]},
    ],
)
def test_configurations_found_once(user):
    with pytest.raises(UserError) as error:
        make_plan({"device": "cpu", **user}, ROOT / "workflow")
    assert "\n" not in str(error.value)


ATTRIBUTES = st.dictionaries(
    st.sampled_from(["run", "settings", "library_versions", "game", "title", "x"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
    | st.just("[" * 5000)
    | st.lists(st.integers(0, 9), max_size=3),
    max_size=3,
)


@nonsense(500)
@given(
    st.sampled_from(sorted(kinds.REPLAY.fields)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 9),
    ATTRIBUTES,
)
def test_hdf5(folder, name, seed, rows, attributes):
    arrays = {key: array[:30] for key, array in replay_arrays().items()}
    generator = np.random.default_rng(seed)
    like = arrays[name]
    noise = generator.bytes(rows * like[:1].nbytes)
    arrays[name] = np.frombuffer(noise, like.dtype).reshape(rows, *like.shape[1:])
    path = folder / "replay.h5"
    hdf5.write(path, kinds.REPLAY, arrays, attributes)
    one_line(Replay.load, path)
    one_line(summarise, path)


@cache
def expert_bytes(folder):
    own = ExpertSettings("seaquest", hidden=8, n_atoms=5)
    network = file.new_network(own, torch.Generator().manual_seed(0))
    file.save_expert(folder / "good.safetensors", network, own)
    return (folder / "good.safetensors").read_bytes()


@nonsense(1500)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=3), st.binary(max_size=40))
def test_expert(folder, header, rest):
    description = json.dumps({"version": file.FORMAT_VERSION, "settings": header, "sha256": ""})
    metadata = {"__metadata__": {file.EXPERT_KEY: description}, **header}
    encoded = json.dumps(metadata).encode()
    path = folder / "expert.safetensors"
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + rest)
    one_line(file.load_expert, path)
    content = bytearray(expert_bytes(folder))
    content[100 : 100 + len(rest)] = rest
    path.write_bytes(content)
    one_line(file.load_expert, path)


@nonsense(1500)
@given(
    st.lists(st.binary(max_size=40) | st.integers(0, 6), min_size=4, max_size=4),
    st.sampled_from(["images", "regression"]),
)
def test_npz(folder, parts, kind):
    good = [np.ones((3, 2)), np.ones(3), np.zeros((3, 32, 32, 3), np.uint8), np.array([1, 2, 3])]
    good += [np.array([None, {}]), np.zeros((0, 2)), np.array(["a"])]
    arrays = {
        name: good[part] if isinstance(part, int) else np.frombuffer(part, np.uint8)
        for name, part in zip(("x_train", "y_train", "x_test", "y_test"), parts, strict=True)
    }
    path = folder / "own.npz"
    np.savez(path, **arrays)
    one_line(prepare_dataset, "own", {"path": str(path), "kind": kind}, folder / "own.h5")
    if isinstance(parts[0], bytes):
        path.write_bytes(path.read_bytes()[: -len(parts[0])] + parts[0])
        one_line(prepare_dataset, "own", {"path": str(path), "kind": kind}, folder / "own.h5")


COMMANDS = ["inspect", "plan", "status", "measure", "gain", "stiffness"]
OPTIONS = ["--scale", "--directory", "--montage", "--checkpoints", "--replay", "--output"]
OPTIONS += ["--objective", "--device", "--help", "--"]
VALUES_OF_OPTIONS = ["smoke", "cpu", "README.md", ".", "/dev/null", "x.png"]
WORDS = st.sampled_from(COMMANDS + OPTIONS + VALUES_OF_OPTIONS) | st.text(max_size=10)


@nonsense(2500)
@given(st.lists(WORDS, max_size=8))
@example(["inspect", "a\0b"])
@example(["inspect", "a\nb"])
@example(["status", "a\0b"])
@example(["plan", "--directory", "a\0b"])
@example(["inspect", "x" * 5000])
def test_command_line(folder, arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = RUNNER.invoke(app, arguments)
    error = result.exception  # `main` prints one line of those that are explained
    assert error is None or isinstance(error, SystemExit) or explained(error), result.exc_info
