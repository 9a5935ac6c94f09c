"""Settings of the masked-image agents: schedules by hand, and what makes no sense."""

import pytest

from td_interference.errors import UserError
from td_interference.generalization.double_dqn import exploration, updates_by
from td_interference.planning.learners import settings_record

DoubleDQNSettings = settings_record("double_dqn")
ReinforceSettings = settings_record("reinforce")


def test_epsilon_falls_linearly_and_then_stays():
    settings = DoubleDQNSettings(epsilon_start=0.9, epsilon_end=0.1, epsilon_decay_steps=40)
    steps = (0, 10, 20, 39, 40, 1000)
    assert [exploration(settings, step) for step in steps] == pytest.approx(
        [0.9, 0.7, 0.5, 0.12, 0.1, 0.1]
    )
    assert exploration(DoubleDQNSettings(epsilon_decay_steps=0), 0) == 0.05


def test_updates_begin_after_the_start_and_come_at_their_pace():
    settings = DoubleDQNSettings(learning_starts=10, updates_per_step=1 / 3)
    assert [updates_by(settings, step) for step in (0, 10, 12, 13, 15, 16)] == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (DoubleDQNSettings, "gamma", 1.1),
        (DoubleDQNSettings, "tau", float("nan")),
        (DoubleDQNSettings, "epsilon_start", -0.1),
        (DoubleDQNSettings, "epsilon_end", 2.0),
        (DoubleDQNSettings, "evaluation_epsilon", 2.0),
        (DoubleDQNSettings, "epsilon_decay_steps", -1),
        (DoubleDQNSettings, "replay_capacity", 0),
        (DoubleDQNSettings, "learning_starts", 0),
        (DoubleDQNSettings, "updates_per_step", 0.0),
        (DoubleDQNSettings, "n_environments", 0),
        (ReinforceSettings, "n_environments", 0),
        (ReinforceSettings, "entropy_weight", -1.0),
        (ReinforceSettings, "entropy_weight", float("inf")),
    ],
)
def test_what_makes_no_sense_is_named(kind, key, value):
    with pytest.raises(UserError, match=rf"'generalization\.agent\.{key}'"):
        kind(**{key: value})
