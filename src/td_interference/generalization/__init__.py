"""The generalization experiments (paper, section 4 and appendix B.1): one file for each learner.

To add a learner, write a module with a card `LEARNER` (see `planning.learners.LearnerCard`) and a
class `Learner`, of an agent derived from `MaskedImageAgent`, else from `tasks.Task`.
"""

import importlib
from typing import Any


def learner(name: str) -> type[Any]:
    """Return the class `Learner` of `generalization/<name>.py`, imported on demand."""
    return importlib.import_module(f"{__name__}.{name}").Learner
