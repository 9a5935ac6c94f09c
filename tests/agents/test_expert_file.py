"""Experts on disk: read back as written, refused when they are something else."""

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from td_interference.agents.expert.file import (
    EXPERT_KEY,
    _digest,
    expected_q,
    load_expert,
    new_network,
    save_expert,
)
from td_interference.errors import UserError
from td_interference.planning.expert import ExpertSettings
from td_interference.storage.files import sha256

SETTINGS = ExpertSettings("seaquest", seed=3, hidden=8, n_atoms=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    network = new_network(SETTINGS, torch.Generator().manual_seed(0))
    save_expert(tmp_path / "expert.safetensors", network, SETTINGS)
    return tmp_path / "expert.safetensors"


def observations(n: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, 4, 84, 84), dtype=torch.uint8, generator=random)


def test_round_trip(path: Path) -> None:
    network, settings, _ = load_expert(path)
    assert settings == SETTINGS
    original = new_network(SETTINGS, torch.Generator().manual_seed(0))
    for (name, a), b in zip(
        original.state_dict().items(), network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_expected_q(path: Path) -> None:
    network, _, _ = load_expert(path)
    x = observations(5)
    q = expected_q(network, x, minibatch=2)
    assert q.shape == (5, 18) and q.dtype == torch.float32
    probability = network(x / 255, noise=None).softmax(-1)
    support = torch.tensor([-10.0, -5.0, 0.0, 5.0, 10.0])
    torch.testing.assert_close(q, (probability * support).sum(-1))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.safetensors: no such file"):
        load_expert(tmp_path / "none.safetensors")


def test_equal_experts_are_equal_files(path: Path, tmp_path: Path) -> None:
    network, settings, _ = load_expert(path)
    for n in range(5):
        save_expert(tmp_path / f"{n}.safetensors", network, settings)
        assert sha256(tmp_path / f"{n}.safetensors") == sha256(path)


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (0, "not an expert of td-interference .an empty file"),
        (5, "not an expert"),
        (1000, "not an expert of td-interference .a damaged safetensors file"),
        (-1, "not a readable"),
    ],
)
def test_truncated(path: Path, kept: int, said: str) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=rf"expert\.safetensors: {said}"):
        load_expert(path)


def test_foreign(path: Path) -> None:
    path.write_text("P1 not weights at all, but long enough to be some other file")
    with pytest.raises(UserError, match="not an expert of td-interference"):
        load_expert(path)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"safetensors weights \(1 tensors\), not an expert"):
        load_expert(path)
    save_file({"weight": torch.zeros(3)}, path, {EXPERT_KEY: "{}"})
    with pytest.raises(UserError, match="not an expert of version 3"):
        load_expert(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": 9}, r"expert\.safetensors: settings and weights do not fit .*size mismatch"),
        ({"no_such_field": 1}, "do not fit .*no_such_field"),
        ({"architecture": "none"}, "do not fit .*none"),
        ({"game": "no_game"}, "unknown name 'no_game'"),
    ],
)
def test_settings_that_do_not_fit(path: Path, change: dict, message: str) -> None:
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()[EXPERT_KEY])
    description["settings"] |= change
    tensors = load_file(path)
    description["sha256"] = _digest(description["settings"], tensors)
    metadata = {EXPERT_KEY: json.dumps(description)}
    save_file(tensors, path, metadata)
    with pytest.raises(UserError, match=message):
        load_expert(path)


@pytest.mark.slow
def test_flipped_bits_are_found(path: Path) -> None:
    """Each of 2,000 flips is refused, or (in the padding of the header) changes nothing."""
    content = path.read_bytes()
    original, settings, _ = load_expert(path)
    header = 8 + int.from_bytes(content[:8], "little")
    moments = random.Random(0)
    offsets = [moments.randrange(header) for _ in range(1000)]
    offsets += [moments.randrange(header, len(content)) for _ in range(1000)]
    refused = 0
    for offset in offsets:
        flipped = bytearray(content)
        flipped[offset] ^= 1 << moments.randrange(8)
        path.write_bytes(flipped)
        try:
            network, read, _ = load_expert(path)
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
            continue
        assert read == settings and offset < header
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, original.state_dict()[name])
    assert refused > 1900


@pytest.mark.parametrize(
    "header",
    [
        {"x": {"dtype": "F32", "shape": [10**13], "data_offsets": [0, 4 * 10**13]}},
        {"x": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 16]}},
        {"x": {"dtype": "F32", "shape": [4], "data_offsets": [-8, 8]}},
        {"x": {"dtype": "PICKLE", "shape": [4], "data_offsets": [0, 16]}},
        {"__metadata__": {EXPERT_KEY: "[]"}},
        {"__metadata__": {EXPERT_KEY: "{not json"}},
        {"__metadata__": {EXPERT_KEY: '{"version": 2, "settings": []}'}},
        [],
    ],
)
def test_lying_headers(path: Path, header: object) -> None:
    for announced in (0, 2**63):
        encoded = json.dumps(header).encode()
        length = (announced or len(encoded)).to_bytes(8, "little")
        path.write_bytes(length + encoded + bytes(16))
        with pytest.raises(UserError, match=r"expert\.safetensors: "):
            load_expert(path)
