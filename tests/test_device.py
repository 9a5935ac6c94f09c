"""Devices by name, and float32 with all its bits."""

import os
import subprocess
import sys

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


def test_what_follows_the_common_setting_goes_on_following_it(as_before):
    on_cpu = OPERATIONS[3:]
    try:
        for operation in on_cpu:
            operation.fp32_precision = "none"
        on_cpu[0].fp32_precision = "ieee"
        torch.backends.fp32_precision = "bf16"
        with full_precision(torch.device("cpu")):
            assert settings() == ["ieee"] * 6
        assert [operation.fp32_precision for operation in on_cpu] == ["ieee", "bf16", "bf16"]
        torch.backends.fp32_precision = "ieee"
        assert [operation.fp32_precision for operation in on_cpu] == ["ieee"] * 3
    finally:
        torch.backends.fp32_precision = "none"


@pytest.mark.parametrize("precision", ["medium", "high"])
def test_torchs_precision_of_products_does_not_matter(as_before, precision):
    a, b = torch.rand(64, 512), torch.rand(512, 64)
    exact = (a.double() @ b.double()).float()
    try:
        torch.set_float32_matmul_precision(precision)
        with full_precision(torch.device("cpu")):
            assert ((a @ b - exact).abs().max() / exact.max()).item() < 2e-6
    finally:
        torch.set_float32_matmul_precision("highest")


IN_STEPS = """
import {first}, {second}
from td_interference.device import compute_exactly, full_precision
compute_exactly()
with full_precision(torch.device("cpu")):
    torch.conv2d(torch.rand(2, 4, 8, 8), torch.rand(4, 4, 3, 3))
"""


@pytest.mark.parametrize(
    ("variable", "mode", "torch_first"),
    [
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16", False),
        ("DNNL_DEFAULT_FPMATH_MODE", "any", False),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16", True),
        ("DNNL_DEFAULT_FPMATH_MODE", "BF16", True),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "strict", True),
    ],
)
def test_the_environment_takes_no_bits_off_products(variable, mode, torch_first):
    names = ("torch", "td_interference") if torch_first else ("td_interference", "torch")
    code = IN_STEPS.format(first=names[0], second=names[1])
    environment = {k: v for k, v in os.environ.items() if "FPMATH" not in k}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {variable: mode, "ONEDNN_VERBOSE": "1"},
        capture_output=True,
        text=True,
    )
    if torch_first and mode != "strict":
        assert done.returncode != 0
        assert f"{variable}={mode} was set when torch was imported" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert "fpmath:bf16" not in done.stdout and "fpmath:any" not in done.stdout
