"""D* from real play: what is stored is what the expert saw, in whole episodes."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from td_interference.agents.expert.file import expected_q, load_expert, new_network, save_expert
from td_interference.collect import Recording, collect_replay
from td_interference.environments.atari import AtariEnvironments, AtariSettings
from td_interference.errors import UserError
from td_interference.jobs.resume import ResumeState
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.replay import ReplaySpec
from td_interference.replay import Replay
from td_interference.returns import monte_carlo_return
from td_interference.seeds import numpy_generator, seed_for
from td_interference.storage import hdf5, kinds
from td_interference.storage.identity import of_replay

SPEC = ReplaySpec(
    game="ms_pacman",
    seed=0,
    transitions=700,
    epsilon=0.5,
    gamma=0.99,
    repeat_action_probability=0.25,
    max_frames_per_episode=1200,  # 300 agent steps: some episodes are truncated
    n_environments=3,
)


EXPERT = ExpertSettings(game="ms_pacman", hidden=8)  # it has learned nothing, and is quick


def collect(spec, expert_path, path, n_threads=1, **over):
    """Record a D* by the expert, as the workflow does."""
    identity = of_replay(asdict(spec), asdict(EXPERT))
    resume = ResumeState(path.parent / f"{path.name}-state", {})
    options = {"n_threads": n_threads, "device": torch.device("cpu"), "resume": resume, **over}
    collect_replay(spec, expert_path, path, identity=identity, **options)


@pytest.fixture(scope="module")
def expert_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("expert") / "expert.safetensors"
    save_expert(path, new_network(EXPERT, torch.Generator().manual_seed(0)), EXPERT)
    return path


@pytest.fixture(scope="module")
def recorded(expert_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("replay") / "ms_pacman-seed0.h5"
    collect(SPEC, expert_path, path)
    return path


def test_whole_episodes_and_enough_of_them(recorded):
    arrays = hdf5.read(recorded, kinds.REPLAY)
    length = arrays["episode_length"]
    assert length.sum() == len(arrays["action"]) >= SPEC.transitions
    assert length[:-1].sum() < SPEC.transitions, "no episode more than needed"
    assert len(arrays["frames"]) == (length + 1).sum()
    assert np.array_equal(arrays["episode_start"], np.cumsum(length) - length)
    ends = np.zeros(len(arrays["action"]), dtype=bool)
    ends[np.cumsum(length) - 1] = True
    assert np.array_equal(arrays["terminated"] | arrays["truncated"], ends)
    assert not (arrays["terminated"] & arrays["truncated"]).any()
    assert np.array_equal(arrays["truncated"][ends], length == 300)


def test_rewards_and_returns_agree(recorded):
    arrays = hdf5.read(recorded, kinds.REPLAY)
    assert np.array_equal(arrays["reward"], np.sign(arrays["raw_reward"]))
    assert arrays["raw_reward"].sum() == arrays["episode_score"].sum() > 0
    expected = monte_carlo_return(arrays["reward"], arrays["episode_length"], gamma=SPEC.gamma)
    assert np.array_equal(arrays["monte_carlo_return"], expected)


def test_rebuilt_observations_are_what_the_expert_saw(recorded, expert_path):
    """Play the recorded actions again: frames, rewards and Q* must come out the same.

    A state stored one frame late, a stack across a reset or a step kept after an episode's end
    would all show here.
    """
    network = load_expert(expert_path).network
    replay = Replay.load(recorded)
    arrays = hdf5.read(recorded, kinds.REPLAY)
    environments = AtariEnvironments(
        AtariSettings(SPEC.game, SPEC.repeat_action_probability, max_frames_per_episode=1200),
        SPEC.n_environments,
        seed_for(SPEC.random_stream, "emulators"),
    )
    generator = numpy_generator(SPEC.random_stream, "exploration")
    # The first three episodes begin together, in the first three copies.
    first = arrays["episode_start"][:3]
    for step in range(int(arrays["episode_length"][:3].min())):
        index = torch.from_numpy(first + step)
        seen = environments.observation
        assert np.array_equal(replay.observation(index).numpy(), seen)
        q = expected_q(network, torch.from_numpy(seen)).numpy()
        np.testing.assert_allclose(arrays["expert_q"][index.numpy()], q, rtol=1e-5, atol=1e-6)
        explore, uniform = generator.random(3) < SPEC.epsilon, generator.integers(0, 9, 3)
        action = np.where(explore, uniform, q.argmax(axis=1))
        assert np.array_equal(arrays["action"][index.numpy()], action)
        answer = environments.step(action)
        assert np.array_equal(replay.next_observation(index).numpy(), answer.observation)
        assert np.array_equal(arrays["raw_reward"][index.numpy()], answer.raw_reward)
    assert step > 100


def test_same_seed_same_bytes_other_seed_other_play(recorded, expert_path, tmp_path):
    for seed in (0, 1):
        spec = ReplaySpec(**{**vars(SPEC), "seed": seed})
        collect(spec, expert_path, tmp_path / f"{seed}.h5", n_threads=2)
    assert (tmp_path / "0.h5").read_bytes() == recorded.read_bytes()
    assert (tmp_path / "1.h5").read_bytes() != recorded.read_bytes()


def test_episodes_come_in_the_order_of_their_starts(expert_path):
    network = load_expert(expert_path).network
    spec = ReplaySpec(
        **{**vars(SPEC), "n_environments": 4, "epsilon": 1.0, "max_frames_per_episode": 108_000}
    )
    recording, lengths = Recording(network, spec, n_threads=1, device=torch.device("cpu")), []
    while len(lengths) < 4:
        lengths += [len(episode.action) for episode in recording.step()]
    lengths = lengths[:4]
    assert lengths != sorted(lengths), "the order of their ends would be ascending here"


def test_a_state_brings_back_every_bit(expert_path, tmp_path):
    """Also the episodes under way, and the draws and frames to come; without the network."""
    network = load_expert(expert_path).network

    def recording(network=network):
        return Recording(network, SPEC, n_threads=1, device=torch.device("cpu"))

    one, finished = recording(), []
    for _ in range(350):
        finished += one.step()
    resume = ResumeState(tmp_path, {})
    resume.save(one.state_dict())
    other = recording()
    again = [episode for step in other.play_again(resume.load()) for episode in step]
    for _ in range(330):
        finished += one.step()
        again += other.step()
    assert len(finished) == len(again) > 3
    for mine, its in zip(finished, again, strict=True):
        assert (mine.action, mine.raw_reward) == (its.action, its.raw_reward)
        assert np.array_equal(mine.frames, its.frames)
        assert np.array_equal(mine.expert_q, its.expert_q)


def test_a_bad_expert_is_named_and_nothing_is_written(tmp_path):
    (tmp_path / "expert.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"expert\.safetensors"):
        collect(SPEC, tmp_path / "expert.safetensors", tmp_path / "r.h5")
    assert not (tmp_path / "r.h5").exists()
