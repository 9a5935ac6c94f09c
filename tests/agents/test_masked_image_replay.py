"""The replay against the stream of play that it was given."""

import numpy as np
import torch
from masked_images import training_images

from td_interference.agents.masked_images.play import Heads
from td_interference.agents.masked_images.replay import MaskedImageReplay

N = 3


def played(capacity, n_steps, seed=0):
    """A replay, and what was played: a list of rows as the environment gave them."""
    images, generator = training_images(), torch.Generator().manual_seed(seed)
    replay, rows = MaskedImageReplay(images, capacity), []
    state = images.begin(torch.arange(N))
    for _ in range(n_steps):
        # Rarely right, so that some episodes are truncated.
        wrong = torch.randint(1, 10, (N,), generator=generator)
        is_right = torch.rand(N, generator=generator) < 0.04
        class_action = (images.label(state.image) + torch.where(is_right, 0, wrong)) % 10
        move = torch.randint(4, (N,), generator=generator)
        step = images.step(state, class_action, move)
        replay.append(state, Heads(class_action, move))
        parts = (images.observation(state), class_action, move, step.reward)
        ends = (step.terminated, step.truncated, state.steps)
        rows += list(zip(*parts, images.observation(step.state), *ends, strict=True))
        begun = images.begin(torch.randint(len(images), (N,), generator=generator))
        state = step.state.where(step.terminated | step.truncated, begun)
    return images, replay, rows


def rebuilt(images, transitions):
    step = transitions.step
    return zip(
        images.observation(transitions.state),
        *transitions.actions,
        step.reward,
        images.observation(step.state),
        step.terminated,
        step.truncated,
        transitions.state.steps,
        strict=True,
    )


def test_everything_that_was_seen_and_done_is_rebuilt():
    """A ring of 100 places for 3 environments: it wraps in the middle of an append, many times."""
    images, replay, rows = played(capacity=100, n_steps=400)
    assert len(replay) == 100
    order = [i % 100 for i in range(len(rows))][-100:]
    kept = list(rebuilt(images, replay.transitions(torch.tensor(order))))
    for ours, theirs in zip(kept, rows[-100:], strict=True):
        assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    ends = {name: sum(bool(row[i]) for row in kept) for i, name in ((5, "term"), (6, "trunc"))}
    assert min(ends.values()) > 0


def test_a_replay_that_is_not_full_draws_what_there_is():
    images, replay, rows = played(capacity=100, n_steps=5)
    assert len(replay) == 15
    drawn = list(rebuilt(images, replay.sample(200, np.random.default_rng(0))))
    index = np.random.default_rng(0).integers(0, 15, 200)
    assert len(set(index)) == 15
    for ours, number in zip(drawn, index, strict=True):
        assert all(torch.equal(*pair) for pair in zip(ours, rows[number], strict=True))


def test_distinct_transitions_are_drawn_once():
    images, replay, rows = played(capacity=100, n_steps=5)
    for most, expected in ((9, 9), (15, 15), (40, 15)):
        drawn = list(rebuilt(images, replay.sample_distinct(most, np.random.default_rng(1))))
        numbers = [
            next(
                n
                for n, row in enumerate(rows)
                if all(torch.equal(*pair) for pair in zip(ours, row, strict=True))
            )
            for ours in drawn
        ]
        assert len(set(numbers)) == len(numbers) == expected
        assert most > 15 or numbers != sorted(numbers)


def test_what_is_appended_later_does_not_change_what_was_held_by_state_dict():
    images, replay, _ = played(capacity=20, n_steps=4)
    saved = replay.state_dict()
    other = MaskedImageReplay(images, 20)
    state = images.begin(torch.arange(N))
    for _ in range(10):
        replay.append(state, Heads(torch.zeros(N), torch.zeros(N)))
    other.load_state_dict(saved)
    _, again, _ = played(capacity=20, n_steps=4)
    for memory in (other, again):
        memory.append(state, Heads(torch.ones(N), torch.ones(N)))
    assert len(other) == len(again) == 15
    pairs = [
        list(rebuilt(images, memory.transitions(torch.arange(15)))) for memory in (other, again)
    ]
    for ours, theirs in zip(*pairs, strict=True):
        assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
