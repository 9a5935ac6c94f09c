"""Atari environments: what a step says, and that they can be brought back bit by bit."""

import numpy as np
import pytest

from td_interference.environments import atari, roms
from td_interference.environments.atari import AtariEnvironments, AtariSettings, AtariStep
from td_interference.errors import UserError

# 400 emulator frames are 100 agent steps: long before the game is over. Asterix answers to
# actions at once (Ms. Pac-Man stands still for 65 agent steps), so sticky actions show.
SHORT = AtariSettings("asterix", max_frames_per_episode=400)


def play(environments: AtariEnvironments, n_steps: int, seed: int = 0) -> list[AtariStep]:
    random = np.random.default_rng(seed)
    shape = environments.n_environments
    return [
        environments.step(random.integers(environments.n_actions, size=shape))
        for _ in range(n_steps)
    ]


def assert_same(left: list[AtariStep], right: list[AtariStep]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_names_and_actions() -> None:
    assert {"ms_pacman", "asterix", "seaquest"} <= set(roms.games())
    assert [atari.n_actions(game) for game in ("ms_pacman", "asterix", "seaquest")] == [9, 9, 18]


def test_games_that_need_two_players_are_not_offered() -> None:
    # ALE ends the whole process on their ROMs.
    with pytest.raises(UserError, match="combat"):
        atari.n_actions("combat")


@pytest.mark.parametrize("name", ["MsPacman", "mspacman", "ms pacman", "ms_pacmann"])
def test_unknown_game_names_the_close_one(name: str) -> None:
    with pytest.raises(UserError, match=r"did you mean ms_pacman.*https://"):
        atari.n_actions(name)
    with pytest.raises(UserError, match="did you mean ms_pacman"):
        AtariEnvironments(AtariSettings(name), 1, seed=0)


def test_unlike_any_game() -> None:
    with pytest.raises(UserError, match=r"unknown name 'xqzw'; All names: https://"):
        roms.rom_path("xqzw")


def test_missing_rom(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"ROM of 'pong' cannot be read.*ALE_ROMS_DIR"):
        roms.rom_path("pong")


def test_first_observation_is_padded_with_zeros() -> None:
    environments = AtariEnvironments(SHORT, 2, seed=0)
    first = environments.observation
    assert first.shape == (2, 4, 84, 84) and first.dtype == np.uint8
    assert not first[:, :-1].any() and first[:, -1].any()
    (step,) = play(environments, 1)
    np.testing.assert_array_equal(step.observation[:, -2], first[:, -1])
    assert not step.observation[:, :2].any()


def test_rewards_are_kept_twice() -> None:
    steps = play(AtariEnvironments(AtariSettings("ms_pacman"), 2, seed=0), 100)
    raw = np.array([step.raw_reward for step in steps])
    assert set(np.unique(raw)) >= {0, 10}
    np.testing.assert_array_equal([step.reward for step in steps], np.sign(raw))


def test_time_limit_truncates_and_the_step_after_is_no_transition() -> None:
    steps = play(AtariEnvironments(SHORT, 2, seed=0), 102)
    assert all(step.valid.all() for step in steps[:100])
    assert steps[99].truncated.all() and not steps[99].terminated.any()
    assert not any(step.truncated.any() for step in steps[:99])
    reset = steps[100]
    assert not reset.valid.any() and not reset.raw_reward.any() and not reset.life_lost.any()
    assert not reset.observation[:, :-1].any() and reset.observation[:, -1].any()
    assert steps[101].valid.all()


def test_game_over_terminates_after_three_lost_lives() -> None:
    environments = AtariEnvironments(AtariSettings("ms_pacman"), 1, seed=1)
    lost = 0
    while True:
        (step,) = play(environments, 1, seed=lost)
        lost += int(step.life_lost[0])
        if step.terminated[0] or step.truncated[0]:
            break
    assert step.terminated[0] and not step.truncated[0] and step.life_lost[0]
    assert lost == 3
    (reset,) = play(environments, 1)
    assert not reset.valid[0] and not reset.life_lost[0]


def test_game_over_at_a_cut_is_terminated_alone() -> None:
    def episode(restart_period: int, max_frames: int) -> list[AtariStep]:
        settings = AtariSettings("asterix", max_frames_per_episode=max_frames)
        environments = AtariEnvironments(settings, 1, seed=0, restart_period=restart_period)
        random, steps = np.random.default_rng(0), []
        while not steps or not (steps[-1].terminated[0] or steps[-1].truncated[0]):
            steps.append(environments.step(random.integers(9, size=1)))
        return steps

    length = len(episode(10**6, 10**6))
    for restart_period, max_frames in ((length, 10**6), (10**6, 4 * length)):
        last = episode(restart_period, max_frames)[-1]
        assert last.terminated[0] and not last.truncated[0]
    assert episode(length - 1, 10**6)[-1].truncated[0]


@pytest.mark.parametrize("n_threads", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_stream_depends_on_seed_and_actions_alone(n_threads: int) -> None:
    reference = play(AtariEnvironments(SHORT, 3, seed=5), 250)
    assert_same(play(AtariEnvironments(SHORT, 3, seed=5, n_threads=n_threads), 250), reference)


def test_other_seed_and_other_copy_differ() -> None:
    raw = [
        np.array([s.observation for s in play(AtariEnvironments(SHORT, 2, seed=seed), 60)])
        for seed in (5, 6)
    ]
    assert (raw[0] != raw[1]).any() and (raw[0][:, 0] != raw[0][:, 1]).any()


def test_restart_cuts_all_episodes() -> None:
    steps = play(AtariEnvironments(SHORT, 2, seed=0, restart_period=60), 123)
    ends = [i for i, step in enumerate(steps) if step.truncated.all()]
    resets = [i for i, step in enumerate(steps) if not step.valid.any()]
    assert ends == [59, 120] and resets == [60, 121]
    assert not steps[60].observation[:, :-1].any()


def test_each_period_has_its_own_seeds() -> None:
    environments = AtariEnvironments(SHORT, 1, seed=0, restart_period=60)
    first = play(environments, 60)
    play(environments, 1)
    second = play(environments, 60)  # the same actions; but sticky actions fall otherwise
    assert any((a.observation != b.observation).any() for a, b in zip(first, second, strict=True))


def test_reset_after_a_bonus_life_is_no_lost_life() -> None:
    environments = AtariEnvironments(SHORT, 1, seed=0, restart_period=10**6)
    play(environments, 100)
    environments._lives = environments._lives + 9
    (reset,) = play(environments, 1)
    assert not reset.valid[0] and not reset.life_lost[0]


def test_restart_does_not_cut_what_ended_already() -> None:
    # The time limit (100 steps) and the restart fall together; then the restart follows a reset.
    for period in (100, 101):
        steps = play(AtariEnvironments(SHORT, 1, seed=0, restart_period=period), period + 2)
        assert sum(int(step.truncated[0]) for step in steps) == 1
        invalid = [i for i, step in enumerate(steps) if not step.valid[0]]
        assert invalid == list(range(100, period + 1))
        assert steps[-1].valid[0]


@pytest.mark.parametrize(
    ("n_steps", "kept_periods"),
    [
        *[(130, 1), (61, 2)],
        *[
            pytest.param(*few, marks=pytest.mark.slow)
            for few in [(0, 0), (60, 0), (130, 0), (250, 2)]
        ],
    ],
)
def test_load_state_is_bit_exact(n_steps: int, kept_periods: int) -> None:
    def make(n_threads: int) -> AtariEnvironments:
        return AtariEnvironments(SHORT, 2, 3, n_threads, 60, kept_periods)

    environments = make(1)
    before = play(environments, n_steps)
    state = environments.state_dict()
    kept = len(state["actions"])
    assert kept <= 61 * (kept_periods + 1)
    assert state["first_step"] + kept == n_steps
    expected = play(environments, 70, seed=1)

    again = make(2)
    play(again, 17, seed=2)  # a used one must do as well as a fresh one
    shown = list(again.play_again(state))
    assert_same([step for _, _, step in shown], before[n_steps - kept :])
    for (observation, _, _), (_, _, earlier) in zip(shown[1:], shown[:-1], strict=True):
        np.testing.assert_array_equal(observation, earlier.observation)
    assert_same(play(again, 70, seed=1), expected)
    assert len(again.state_dict()["actions"]) == len(environments.state_dict()["actions"])


def test_send_and_receive_are_step() -> None:
    one, other = (AtariEnvironments(SHORT, 2, seed=0) for _ in range(2))
    other.send(np.array([1, 2]))
    assert_same([other.receive()], [one.step(np.array([1, 2]))])


@pytest.mark.parametrize("actions", [[0], [0, 9], [-1, 0]])
def test_bad_actions(actions: list[int]) -> None:
    with pytest.raises(ValueError, match=r"need 2 of 0\.\.8"):
        AtariEnvironments(SHORT, 2, seed=0).step(np.array(actions))
