"""Diabetes table that comes with scikit-learn (Efron et al. 2004): 442 patients, 10 features."""

from collections.abc import Mapping

from td_interference.datasets.arrays import DatasetArrays, Split, split_by_shuffle
from td_interference.datasets.sources import Forms, FoundFile

DATASET = {
    "kind": "regression",
    "title": "Diabetes",
    "split": "fixed shuffle, 20% test",
    "n_train": 354,
    "embedded": True,
    "colour": "#56B4E9",
}

FORMS: Forms = ()
TEST_SHARE = 0.2  # a choice: 88 patients


def read(_: Mapping[str, FoundFile]) -> DatasetArrays:
    """Return features, centred and scaled as scikit-learn does, and the disease's progression.

    The target is a score of 25 to 346 one year after baseline.
    """
    from sklearn.datasets import load_diabetes  # as in `digits`

    table = load_diabetes()
    return split_by_shuffle("diabetes", Split(table.data, table.target), TEST_SHARE)
