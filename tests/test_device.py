"""Devices by name, and float32 with all its bits."""

import pytest
import torch

from td_interference.device import full_precision, resolve_device
from td_interference.errors import UserError


def test_names():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="config key 'device': no CUDA GPU is visible"):
            resolve_device("cuda")


OPERATIONS = [
    torch.backends.cudnn.conv,
    torch.backends.cudnn.rnn,
    torch.backends.cuda.matmul,
    torch.backends.mkldnn.conv,
    torch.backends.mkldnn.rnn,
    torch.backends.mkldnn.matmul,
]


def settings():
    return [operation.fp32_precision for operation in OPERATIONS]


@pytest.fixture
def as_before():
    before = settings()
    yield
    for operation, precision in zip(OPERATIONS, before, strict=True):
        operation.fp32_precision = precision


@pytest.mark.parametrize("fails", [False, True])
def test_full_precision_is_for_the_block_alone(as_before, fails):
    chosen = ["tf32", "tf32", "tf32", "ieee", "ieee", "bf16"]
    for operation, precision in zip(OPERATIONS, chosen, strict=True):
        operation.fp32_precision = precision
    matrix = torch.ones(2, 2)
    with torch.autocast("cpu"):
        try:
            with full_precision(torch.device("cpu")):
                assert settings() == ["ieee"] * 6
                assert (matrix @ matrix).dtype == torch.float32
                if fails:
                    raise KeyError
        except KeyError:
            assert fails
        assert (matrix @ matrix).dtype == torch.bfloat16
    assert settings() == chosen
