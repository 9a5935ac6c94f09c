"""What draws random numbers, or adds them up in an order, does so by the settings alone."""

import pytest
import torch
from tree import ROOT

from td_interference.agents.expert.file import new_network
from td_interference.agents.expert.training import THREADS
from td_interference.networks.atari import initialise, q_network, value_network
from td_interference.networks.images import image_network
from td_interference.planning.expert import ExpertSettings
from td_interference.seeds import numpy_generator, seed_for, torch_generator


@pytest.mark.parametrize(
    "make",
    [
        lambda generator: initialise(q_network(9, 2), generator),
        lambda generator: initialise(value_network(2), generator),
        lambda generator: initialise(image_network(3, 10, 2), generator),
        lambda generator: new_network(ExpertSettings("asterix", hidden=8), generator),
    ],
    ids=["q", "value", "image", "expert"],
)
def test_initial_weights_do_not_depend_on_the_global_generator(make):
    states = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            states.append(make(torch_generator("a run", "initial_weights")).state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_streams_differ_by_run_and_purpose_and_by_nothing_else():
    names = [(run, purpose) for run in ("a", "b") for purpose in ("minibatches", "weights")]
    assert len({seed_for(*name) for name in names}) == 4
    assert seed_for("ab", "c") != seed_for("a", "bc")
    for name in names:
        first, again = numpy_generator(*name), numpy_generator(*name)
        assert (first.integers(0, 2**60, 5) == again.integers(0, 2**60, 5)).all()


def test_the_number_of_threads_is_part_of_the_settings():
    """Torch adds up in another order; so the workflow fixes the number, whatever the cores."""
    rules = (ROOT / "workflow" / "rules").glob("*.smk")
    asked = {line.strip() for path in rules for line in path.open() if "threads:" in line}
    assert asked == {"threads: 1"}
    assert THREADS == 1
    assert "threads=THREADS" in (ROOT / "workflow" / "scripts" / "train_expert.py").read_text()
