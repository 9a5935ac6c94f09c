"""What a user's environment says about threads, instructions and pictures does not reach a job."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tree import copy_tree

from td_interference.planning import thread_variables

HOSTILE = {
    "OMP_DYNAMIC": "true",
    "OMP_THREAD_LIMIT": "1",
    "OMP_NUM_THREADS": "64,0,-3",
    "OMP_PROC_BIND": "close",
    "OMP_PLACES": "{0}",
    "KMP_AFFINITY": "granularity=nonsense",
    "KMP_DEVICE_THREAD_LIMIT": "1",
    "GOMP_CPU_AFFINITY": "0",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_DYNAMIC": "TRUE",
    "OPENBLAS_NUM_THREADS": "x",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "ATEN_CPU_CAPABILITY": "default",
    "NVIDIA_TF32_OVERRIDE": "1",
    "FREETYPE_PROPERTIES": "truetype:interpreter-version=35",
    "MPLBACKEND": "nonsense",
    "NPY_DISABLE_CPU_FEATURES": "AVX2",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
    "CUBLAS_WORKSPACE_CONFIG": ":0:0",
    "POLARS_MAX_THREADS": "none",
    "RAYON_NUM_THREADS": "1",
    "TORCH_MKLDNN_MATMUL_MIN_DIM": "1",
}


def test_clear_takes_them_and_nothing_else():
    others = {"PATH": "/bin", "HOMP_X": "1", "CUDA_VISIBLE_DEVICES": "0", "SLURM_CPUS_ON_NODE": "4"}
    environment = {**others, **HOSTILE}
    assert thread_variables.clear(environment) == sorted(HOSTILE)
    assert environment == others and thread_variables.clear(environment) == []


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Environments in which Python processes began, by the script they ran."""
    directory = tmp_path_factory.mktemp("hostile")
    project = copy_tree(directory / "project")
    # Python runs this file before anything else, also in the process of a job.
    (directory / "sitecustomize.py").write_text(
        "import json, os, sys\n"
        "line = json.dumps([sys.orig_argv, dict(os.environ)])\n"
        f"open({str(directory / 'seen')!r}, 'a').write(line + '\\n')\n"
    )
    subprocess.run(
        [
            *(Path(sys.executable).parent / "snakemake", "--cores", "1", "--config", "scale=smoke"),
            *("--", "results/smoke/datasets/digits.h5"),
        ],
        cwd=project,
        env={**os.environ, **HOSTILE, "PYTHONPATH": str(directory)},
        check=True,
        capture_output=True,
        timeout=300,
    )
    return [json.loads(line) for line in (directory / "seen").read_text().splitlines()]


@pytest.mark.slow
def test_a_job_begins_without_them(seen):
    jobs = [environment for command, environment in seen if "prepare_dataset" in " ".join(command)]
    scripts = [
        environment
        for command, environment in seen
        if any(part.endswith(".prepare_dataset.py") for part in command)
    ]
    assert len(scripts) == 1 and jobs
    left = {name: scripts[0][name] for name in HOSTILE if name in scripts[0]}
    # Snakemake says how many threads the rule has.
    assert left == {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.mark.slow
def test_torch_hangs_no_job_on_them():
    """The process of `td-interference measure`: cleared before torch is loaded."""
    program = (
        "from td_interference.planning import thread_variables; thread_variables.clear()\n"
        "import torch; torch.set_num_threads(2)\n"
        "x = torch.nn.Conv2d(3, 8, 3)(torch.ones(4, 3, 32, 32)).square().mean(); x.backward()\n"
        "print(torch.__config__.parallel_info(), float(x) >= 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **HOSTILE},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.endswith("True\n") and "at::get_num_threads() : 2" in done.stdout
