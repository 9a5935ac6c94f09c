"""Fixtures that several tests share."""

from collections.abc import Iterator

import identities
import pytest
import torch
from hypothesis import settings
from problems import replay_arrays, run_spec

from td_interference.planning.grid import RunSpec
from td_interference.replay import Replay
from td_interference.storage import hdf5, kinds

settings.register_profile("thorough")  # of `make test-all`, see test_fuzz.py

# Begin first when several processes share the files, so that none waits for another at the end.
LONGEST = (
    *("test_figure5.py", "test_kill.py", "test_workflow.py", "test_survival.py"),
    *("test_examples.py", "test_benchmarks.py", "test_house.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def arrays() -> hdf5.Arrays:
    return replay_arrays()


@pytest.fixture(scope="session")
def replay(arrays) -> Replay:
    return Replay(arrays)


@pytest.fixture(scope="session")
def replay_path(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("replay") / "ms_pacman-seed0.h5"
    attributes = {"settings": {"epsilon": 0.05}}
    hdf5.write(path, kinds.REPLAY, arrays, identities.of_replay(), attributes)
    return path


@pytest.fixture
def run() -> RunSpec:
    return run_spec()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: several that wait for each other are slow beside other jobs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
