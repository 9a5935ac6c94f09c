"""Runs of agents: alone or in company, resumed or not, and what they must never see."""

import dataclasses
import io
import math

import numpy as np
import pytest
import torch
from cells import cell_spec, only_one_alive
from masked_images import DOUBLE_DQN, REINFORCE, image_data
from reference_gradients import autograd_gradients

from td_interference.agents.masked_images.play import play_episodes
from td_interference.datasets.arrays import DatasetArrays, Split
from td_interference.environments.masked_image import MaskedImages
from td_interference.errors import UserError
from td_interference.generalization import agent_runs
from td_interference.generalization.agent_runs import AgentsInTurn
from td_interference.seeds import numpy_generator

AGENTS = {"double_dqn": DOUBLE_DQN, "reinforce": REINFORCE}
BOTH = pytest.mark.parametrize("experiment", AGENTS)


def agent_cell(experiment, **over):
    fields = {
        "dataset": "noise",
        "task": experiment,
        "agent": AGENTS[experiment],
        "hidden": 2,
        "extra_layers": 0,
        "n_train": 9,
        "learning_rate": 1e-3,
        "minibatch": 8,
        "agent_steps": 240,
        "measure_every": 60,
        "samples": 7,
        "evaluation_samples": 8,
        "seeds": (0, 1),
    }
    return cell_spec(**{**fields, **over})


def networks(runs):
    return [network.state_dict() for network in runs.networks]


def same(ours, theirs):
    return all(
        torch.equal(own, their[name])
        for mine, their in zip(ours, theirs, strict=True)
        for name, own in mine.items()
    )


def after(runs, agent_steps):
    runs.advance(agent_steps)
    return runs


@BOTH
def test_runs_in_company_are_those_alone(experiment):
    cells = [agent_cell(experiment), agent_cell(experiment, n_train=5, seeds=(1, 3))]
    rows = after(AgentsInTurn(cells, image_data()), 120).measure()
    assert [(row["n_train"], row["seed"]) for row in rows] == [(9, 0), (9, 1), (5, 1), (5, 3)]
    assert len({row["train_loss"] for row in rows}) == 4
    alone = [
        row
        for cell in cells
        for seed in cell.seeds
        for row in after(
            AgentsInTurn([dataclasses.replace(cell, seeds=(seed,))], image_data()), 120
        ).measure()
    ]
    assert rows == alone
    assert all(math.isfinite(v) for v in rows[0].values() if isinstance(v, float))


@BOTH
def test_how_steps_are_cut_and_measuring_do_not_matter(experiment):
    cell = agent_cell(experiment)
    plain = after(AgentsInTurn([cell], image_data()), 180)
    cut = AgentsInTurn([cell], image_data())
    for agent_steps in (1, 59, 3, 0, 77, 40):
        cut.advance(agent_steps)
        cut.measure()
    assert cut.steps_done == plain.steps_done == 180
    if experiment == "double_dqn":  # REINFORCE ends its episodes
        assert {agent["agent_step"] for agent in plain.state_dict()["agents"]} == {180}
    assert same(networks(cut), networks(plain))
    assert cut.measure() == plain.measure()


@BOTH
@pytest.mark.parametrize(  # before the first update, and in between
    "stopped", [17, *(pytest.param(steps, marks=pytest.mark.slow) for steps in (0, 101))]
)
def test_a_resumed_run_goes_on_with_the_same_bits(experiment, stopped):
    cell = agent_cell(experiment)
    plain = AgentsInTurn([cell], image_data())
    first = after(AgentsInTurn([cell], image_data()), stopped)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    resumed = AgentsInTurn([cell], image_data())
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed.steps_done == stopped
    after(plain, 200), after(resumed, 200 - stopped)
    assert same(networks(resumed), networks(plain))
    assert resumed.measure() == plain.measure()
    ours, theirs = resumed.state_dict(), plain.state_dict()
    assert [a["generators"] for a in ours["agents"]] == [a["generators"] for a in theirs["agents"]]


@BOTH
def test_gradients_of_one_value_and_run_are_in_memory_at_a_time(experiment, monkeypatch):
    make = only_one_alive(agent_runs.per_sample_gradients)
    monkeypatch.setattr(agent_runs, "per_sample_gradients", make)
    AgentsInTurn([agent_cell(experiment)], image_data()).measure()
    assert make.calls == 2 * 2


def changed(split, rows):
    """The split with other pixels, and other labels, in some rows."""
    images, labels = split.inputs.copy(), split.targets.copy()
    images[rows] = 255 - images[rows]
    labels[rows] = (labels[rows] + 1) % 10
    return Split(images, labels)


@pytest.mark.slow
@BOTH
def test_neither_test_images_nor_those_after_the_first_are_learned_from(experiment):
    data, cell = image_data(), agent_cell(experiment, n_train=9)
    everything = slice(None)
    other = {
        "test": (DatasetArrays(data.train, changed(data.test, everything)), True),
        "beyond": (DatasetArrays(changed(data.train, slice(9, None)), data.test), True),
        "among": (DatasetArrays(changed(data.train, [8]), data.test), False),
    }
    expected = AgentsInTurn([cell], data)
    expected.advance(120), expected.measure(), expected.advance(120)
    for arrays, unnoticed in other.values():
        runs = AgentsInTurn([cell], arrays)
        runs.advance(120), runs.measure(), runs.advance(120)
        assert same(networks(runs), networks(expected)) is unnoticed


@BOTH
def test_all_of_the_first_images_and_no_other_are_shown(experiment, monkeypatch):
    shown = {}
    begin = MaskedImages.begin

    def noted(self, image):
        shown.setdefault(id(self), set()).update(image.tolist())
        return begin(self, image)

    monkeypatch.setattr(MaskedImages, "begin", noted)
    runs = AgentsInTurn([agent_cell(experiment, n_train=4, seeds=(0,))], image_data())
    runs.advance(240)
    assert list(shown.values()) == [set(range(4))]


@BOTH
def test_a_row_says_what_a_plain_program_would(experiment):
    """Episodes played one at a time, gradients by autograd, pairs by two loops, in float64."""
    cell = agent_cell(experiment, seeds=(1,), evaluation_samples=7)
    runs = after(AgentsInTurn([cell], image_data()), 120)
    (row,) = runs.measure()
    ((run,), (agent,)), data = (runs.runs, runs.agents), image_data()
    assert row["update_step"] == agent.update_step and row["agent_step"] == 120
    assert row["generalization_gap"] == row["train_performance"] - row["test_performance"]

    splits = {"train": (data.train, 9), "test": (data.test, 12)}
    episodes, rewards = {}, {}
    for name, (split, size) in splits.items():
        chosen = numpy_generator(run.run_id, f"{name}_images").permutation(size)[:7]
        images = MaskedImages(split)
        policy = agent.evaluation_policy(numpy_generator(run.run_id, f"evaluation_{name}"))
        episodes[name] = play_episodes(images, torch.from_numpy(chosen), policy)
        rewards[name] = [0.0] * 7
        for number, image, action in zip(
            episodes[name].episode.tolist(),
            episodes[name].state.image.tolist(),
            episodes[name].actions.class_action.tolist(),
            strict=True,
        ):
            assert image == chosen[number]
            rewards[name][number] += 1 if split.targets[image] == action else -0.05
        assert row[f"{name}_performance"] == pytest.approx(np.mean(rewards[name]))

    def drawn(name):
        return numpy_generator(run.run_id, f"measured_{name}")

    test_images = MaskedImages(data.test)
    train = agent.train_states(episodes["train"], 7, drawn("train"))
    test = agent.test_states(test_images, episodes["test"], 7, drawn("test"))
    index = drawn("test").permutation(len(episodes["test"].episode))[:7]
    states = type(episodes["test"].state)(*(part[index] for part in episodes["test"].state))
    assert torch.equal(test.observation, test_images.observation(states))

    network = agent.network.double()
    targets = [torch.cat(pair) for pair in zip(train.targets, test.targets, strict=True)]
    targets = type(train.targets)(*(t.double() if t.is_floating_point() else t for t in targets))
    inputs = torch.cat([train.observation, test.observation]).double()

    def function(outputs):
        return outputs.max(1).values if experiment == "double_dqn" else outputs.mean(1)

    def loss(outputs):
        return agent.loss(outputs, targets)

    losses = loss(network(inputs))
    assert row["train_loss"] == pytest.approx(losses[:7].mean().item(), rel=1e-4)
    assert row["test_loss"] == pytest.approx(losses[7:].mean().item(), rel=1e-4)
    numbers = {"train": range(7), "test": range(7, 14)}
    for name, value in (("function", function), ("loss", loss)):
        gradients = autograd_gradients(network, inputs, value)
        for pair in ("train_train", "train_test", "test_test"):
            first, second = (numbers[part] for part in pair.split("_"))
            pairs = [(gradients[u], gradients[v]) for u in first for v in second if u != v]
            product = np.mean([(a @ b).item() for a, b in pairs])
            cosine = np.mean([(a @ b / a.norm() / b.norm()).item() for a, b in pairs])
            ours = (row[f"{name}_{what}_{pair}"] for what in ("interference", "stiffness"))
            assert list(ours) == pytest.approx([product, cosine], rel=1e-3, abs=1e-6)


@pytest.mark.slow
@BOTH
def test_agents_learn_a_few_images_by_heart(experiment):
    """Four images, whose classes an agent that looks can know at once."""
    agent = dataclasses.replace(AGENTS[experiment], n_environments=8)
    if experiment == "double_dqn":
        agent = dataclasses.replace(
            agent, replay_capacity=2000, learning_starts=64, epsilon_decay_steps=600
        )
    cell = agent_cell(
        experiment,
        agent=agent,
        n_train=4,
        hidden=4,
        learning_rate=3e-3,
        minibatch=64 if experiment == "reinforce" else 16,
        agent_steps=1600 if experiment == "double_dqn" else 16_000,
        measure_every=800,
        seeds=(0,),
    )
    runs = AgentsInTurn([cell], image_data())
    (before,) = runs.measure() if experiment == "reinforce" else after(runs, 64).measure()
    (learned,) = after(runs, cell.agent_steps - runs.steps_done).measure()
    chance = 0.483  # of random actions: (1 - 0.9**20) - 0.05 * (0.9 + ... + 0.9**20)
    assert learned["train_performance"] > max(0.9, chance, before["train_performance"])


@BOTH
def test_a_run_that_diverges_says_so_and_the_others_do_not_notice(experiment):
    cell = agent_cell(experiment)
    runs = {name: AgentsInTurn([cell], image_data()) for name in ("sound", "broken")}
    with torch.no_grad():
        runs["broken"].networks[0][0].weight.fill_(torch.inf)
    rows = {name: after(run, 60).measure() for name, run in runs.items()}
    assert [row["diverged"] for row in rows["broken"]] == [True, False]
    numbers = [v for v in rows["broken"][0].values() if isinstance(v, float)]
    assert len(numbers) > 10 and all(map(math.isnan, numbers))
    assert rows["broken"][1] == rows["sound"][1]
    # Stays so, also through a resume with weights that are sound again.
    state = runs["broken"].state_dict()
    state["agents"][0]["network"] = state["agents"][1]["network"]
    resumed = AgentsInTurn([cell], image_data())
    resumed.load_state_dict(state)
    assert [row["diverged"] for row in resumed.measure()] == [True, False]


def test_misuse_is_refused():
    cell = agent_cell("reinforce")
    with pytest.raises(ValueError, match="n_T and seeds"):
        AgentsInTurn([cell, agent_cell("reinforce", n_train=5, minibatch=4)], image_data())
    with pytest.raises(ValueError, match="beyond"):
        AgentsInTurn([cell], image_data()).advance(241)
    with pytest.raises(UserError, match=r"generalization\.n_train': 21 is more than the 20"):
        AgentsInTurn([agent_cell("reinforce", n_train=21)], image_data())
