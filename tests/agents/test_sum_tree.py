"""The sum tree against numpy.cumsum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from td_interference.agents.expert.sum_tree import SumTree


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.integers(0, 5), min_size=1, max_size=40).filter(any),
    seed=st.integers(0, 2**32 - 1),
)
def test_find_is_searchsorted_of_cumsum(weights: list[int], seed: int) -> None:
    # Integer weights: sums are exact, so the two must agree to the last draw.
    tree = SumTree(len(weights))
    tree.set(np.arange(len(weights)), np.array(weights, dtype=np.float64))
    total = sum(weights)
    assert tree.total == total
    mass = np.random.default_rng(seed).random(50) * total
    mass = np.concatenate([mass, np.arange(total)])  # borders belong to the right neighbour
    expected = np.searchsorted(np.cumsum(weights), mass, side="right")
    np.testing.assert_array_equal(tree.find(mass), expected)


@pytest.mark.parametrize("capacity", [1, 2, 3, 64, 1000])
def test_changes_leave_exact_sums(capacity: int) -> None:
    random = np.random.default_rng(capacity)
    tree, leaves = SumTree(capacity), np.zeros(capacity)
    for _ in range(100):
        index = random.integers(capacity, size=7)
        value = random.random(7)
        tree.set(index, value)
        for i, v in zip(index, value, strict=True):  # of equal indices the last counts
            leaves[i] = v
    np.testing.assert_array_equal(tree.leaves, leaves)
    np.testing.assert_array_equal(tree.get(np.arange(capacity)), leaves)
    assert tree.total == pytest.approx(leaves.sum(), rel=1e-14)
    fresh = SumTree(capacity)
    fresh.set(np.arange(capacity), leaves)
    assert fresh.total == tree.total  # to the last bit, whatever the history


def test_zero_leaves_are_never_found() -> None:
    tree = SumTree(8)
    tree.set(np.array([2, 5]), np.array([0.1, 0.7]))
    mass = np.array([0.0, 0.1, tree.total, np.nextafter(tree.total, 0), 10.0])
    assert set(tree.find(mass)) <= {2, 5}


def test_leaves_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        SumTree(4).leaves[0] = 1
