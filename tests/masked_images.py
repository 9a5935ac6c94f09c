"""Small image data, and settings of agents that learn on it within seconds."""

import numpy as np

from td_interference.agents.masked_images.agent import LearnerSettings
from td_interference.datasets.arrays import DatasetArrays, Split
from td_interference.environments.masked_image import MaskedImages
from td_interference.planning.learners import settings_record

DoubleDQNSettings = settings_record("double_dqn")
ReinforceSettings = settings_record("reinforce")

LEARNER = LearnerSettings(hidden=2, extra_layers=0, learning_rate=1e-3, minibatch=8)
DOUBLE_DQN = DoubleDQNSettings(
    replay_capacity=50,
    learning_starts=12,
    updates_per_step=0.5,
    epsilon_decay_steps=60,
    n_environments=4,
)
REINFORCE = ReinforceSettings(entropy_weight=0.01, n_environments=3)


def image_data(n_train=20, n_test=12) -> DatasetArrays:
    """Noise in which no pixel is black, so that what is revealed shows."""
    generator = np.random.default_rng(0)
    splits = (
        Split(
            generator.integers(1, 256, (count, 3, 32, 32), dtype=np.uint8),
            generator.integers(0, 10, count),
        )
        for count in (n_train, n_test)
    )
    return DatasetArrays(*splits)


def training_images() -> MaskedImages:
    """All training images of `image_data`."""
    return MaskedImages(image_data().train)
