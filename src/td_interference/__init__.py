"""Measuring gradient interference in temporal-difference learning (Bengio et al., ICML 2020)."""

import os
import sys

# oneDNN reads this once, when torch is imported. Any other value lets it multiply float32 with the
# bits of bfloat16, which moves inner products of gradients by 2% on CPUs that can.
if "torch" not in sys.modules:
    os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] = "STRICT"

__version__ = "0.1.0"
