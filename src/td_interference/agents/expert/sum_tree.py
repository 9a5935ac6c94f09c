"""Drawing indices in proportion to changing weights, in logarithmic time."""

import numpy as np
from numpy.typing import NDArray


class SumTree:
    """A complete binary tree whose nodes hold the sums of their children, in float64.

    The root is node 1 and the children of node k are 2k and 2k + 1, so a level is a slice and a
    batch of paths is walked with one numpy call per level. Sums are computed anew from the
    children at each change: rounding errors do not pile up.

    Args:
        capacity: Number of leaves.
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._depth = max(capacity - 1, 1).bit_length()
        self._first_leaf = 1 << self._depth
        self._nodes = np.zeros(2 << self._depth, dtype=np.float64)

    @property
    def total(self) -> float:
        """Sum of all leaves."""
        return float(self._nodes[1])

    @property
    def leaves(self) -> NDArray[np.float64]:
        """All leaves, [capacity], as a read-only view."""
        view = self._nodes[self._first_leaf : self._first_leaf + self.capacity]
        view.flags.writeable = False
        return view

    def get(self, index: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the leaves at `index`."""
        return self._nodes[self._first_leaf + index]

    def set(self, index: NDArray[np.integer], value: NDArray[np.floating] | float) -> None:
        """Give the leaves at `index` new, non-negative values; of equal indices the last counts."""
        node = self._first_leaf + index
        self._nodes[node] = value
        for _ in range(self._depth):
            node = node >> 1
            self._nodes[node] = self._nodes[2 * node] + self._nodes[2 * node + 1]

    def find(self, mass: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return, for each `mass` in [0, total), the leaf i with cumsum_{i-1} <= mass < cumsum_i.

        Rounding never leads into a subtree of sum zero, so a leaf of value zero is never found
        while `total` is positive.
        """
        mass = np.array(mass, dtype=np.float64)
        node = np.ones(mass.shape, dtype=np.int64)
        for _ in range(self._depth):
            node *= 2
            left = self._nodes[node]
            right = (mass >= left) & (self._nodes[node + 1] > 0)
            mass -= np.where(right, left, 0.0)
            node += right
        return node - self._first_leaf
