"""Environment variables that would change how libraries compute or draw, taken away.

A login script, a module or a batch system may set them. `OMP_THREAD_LIMIT=1` or `OMP_DYNAMIC=true`
can make a backward pass wait for ever for threads that are never started; `MKL_CBWR` or
`ONEDNN_MAX_CPU_ISA` choose other instructions, which round otherwise; `FREETYPE_PROPERTIES` shapes
letters otherwise. A job's threads are those of its rule. Standard library only, for this must
happen before any of the libraries is loaded.
"""

import os
from collections.abc import MutableMapping

PREFIXES = (
    "ATEN_",  # torch's choice of instructions
    "BLIS_",
    "CUBLAS",  # its workspaces, and cuBLASLt
    "CUDNN_",
    "DNNL_",  # oneDNN's older name
    "GOMP_",
    "GOTO_",
    "KMP_",  # OpenMP of Intel and LLVM
    "LIBOMP_",
    "MKL_",
    "NPY_",  # NumPy's choice of instructions
    "NUMEXPR_",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "POLARS_",
    "RAYON_",  # the threads of Polars
    "TORCH_BLAS_",
    "TORCH_CPP_",
    "TORCH_CUDNN_",
    "TORCH_LINALG_",
    "TORCH_MKLDNN_",
    "VECLIB_",
)
NAMES = (
    "DISABLE_ADDMM_CUDA_LT",
    "FREETYPE_PROPERTIES",
    "GLIBC_TUNABLES",  # the instructions of exp and log among them
    "MPLBACKEND",  # matplotlib cannot be imported where it knows no such backend
    "NVIDIA_TF32_OVERRIDE",  # float32 with fewer bits, as the next
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


def clear(environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """Remove the variables from an environment, this process's own; return their names, sorted."""
    found = sorted(n for n in environment if n.startswith(PREFIXES) or n in NAMES)
    for name in found:
        del environment[name]
    return found
