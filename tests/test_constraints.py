"""Settings that contradict each other are refused by the plan; those it accepts can be run."""

import math

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from problems import replay_arrays, run_spec
from tree import ROOT

from td_interference import metrics
from td_interference.agents.control.training import ControlTraining
from td_interference.agents.expert.training import ExpertTraining
from td_interference.datasets.prepare import prepare_dataset
from td_interference.errors import UserError
from td_interference.generalization.group_job import make_training
from td_interference.jobs.kept_files import Parts
from td_interference.metrics.subject import Subject
from td_interference.planning.control import ControlSettings, window_name
from td_interference.planning.digits import digits
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.plan import make_plan
from td_interference.replay import Replay
from td_interference.training import Trainer

WORKFLOW = ROOT / "workflow"

ONE = "objectives: [q_learning], games: [ms_pacman], n_seeds: 1, optimizers: [adam]"
MINE = f"{ONE}, learning_rates: [1.0e-4], hidden: [8], checkpoints: [100, 200]"

MANY = f"n_seeds: 1000, hidden: {list(range(1, 51))}"

# What contradicts what, and the key that the line begins with.
CONTRADICTIONS = [
    ("expert: {learning_starts: 1, n_step: 20}", "expert.learning_starts", "at least 84"),
    ("expert: {learning_starts: 2, n_environments: 4, n_step: 10}", "expert.learning_starts", "44"),
    ("expert: {learning_starts: 43, updates_per_step: 1}", "expert.learning_starts", "44"),
    ("expert: {learning_starts: 1200}", "expert.learning_starts", "leaves nothing to learn"),
    ("expert: {updates_per_step: 0.001}", "expert.learning_starts", "'expert.agent_steps'"),
    (
        "expert: {replay_capacity: 20, n_environments: 4, n_step: 10}",
        "expert.replay_capacity",
        "at least 64",
    ),
    ("expert: {n_step: 600}", "expert.learning_starts", "2404"),
    ("metrics: {stiffness: {anchors: 10}}", "metrics.stiffness.anchors", "take 20"),
    ("metrics: {stiffness: {anchors: 50}}", "metrics.stiffness.anchors", "anchors_per_segment"),
    (
        "metrics: {sign_variance: {steps_per_segment: 10, window: 20}}",
        "metrics.sign_variance.window",
        "",
    ),
    ("metrics: {stiffness: {half_width: 3000}}", "metrics.stiffness.half_width", "2999"),
    (
        "metrics: {sign_variance: {steps_per_segment: 3001}}",
        "metrics.sign_variance.steps_per_segment",
        "",
    ),
    (
        "environment: {max_frames_per_episode: 60}",
        "metrics.gain.half_width",
        "'environment.max_frames_per_episode'",
    ),
    ("metrics: {gain: {half_width: 200}}", "metrics.gain.half_width", "'control.restart_period'"),
    ("control: {restart_period: 20}", "metrics.gain.half_width", "'control.restart_period'"),
    (
        "metrics: {gain_over_training: {half_width: 250}}",
        "metrics.gain_over_training.half_width",
        "",
    ),
    ("control: {replay_capacity: 600}", "control.replay_capacity", "at least"),
    ("control: {learning_starts: 11}", "control.learning_starts", "at least 12"),
    ("control: {window: 1201, replay_capacity: 9000}", "control.window", "1200 agent steps"),
    ("control: {checkpoints: [100, 201]}", "control.checkpoints", "200 updates"),
    ("control: {epsilon_start: 0.01}", "control.epsilon_end", "'control.epsilon_start'"),
    ("control: {updates_per_step: 0.001}", "control.checkpoints", "0 updates"),
    (
        "control: {checkpoints: [50, 150]}",
        "experiments.policy_evaluation.checkpoints' and 'control.checkpoints",
        "singular_values_by_optimizer",
    ),
    (
        "metrics: {singular_values: {checkpoints: last}}",
        "metrics.singular_values.checkpoints",
        "set it to all",
    ),
    ("metrics: {second_order: {checkpoints: last}}", "experiments.second_order.checkpoints", "200"),
    (
        "metrics: {momentum: {checkpoints: last}}",
        "experiments.momentum.checkpoints",
        "end both alike",
    ),
    (
        "experiments: {parameterizations: {checkpoints: [100]}}",
        "experiments.parameterizations.checkpoints",
        "end both alike",
    ),
    ("experiments: {momentum: {optimizers: [adam]}}", "experiments.momentum", "momentum_sgd"),
    (
        "experiments: {momentum: {objectives: [q_learning_online]}}",
        "experiments.momentum",
        "no update",
    ),
    ("training: {momentum: 0}", "experiments.momentum", "above 0"),
    (
        "experiments: {second_order: {objectives: [td_lambda], lambdas: [0, 0.5]}}",
        "experiments.second_order",
        "not 0.5",
    ),
    (
        "experiments: {parameterizations: {objectives: [td_lambda], lambdas: [0]}}",
        "experiments.parameterizations",
        "learns V",
    ),
    (
        "experiments: {regression: {objectives: [td_lambda]}}",
        "experiments.regression.lambdas",
        "needs",
    ),
    (
        "experiments: {td_lambda: {objectives: [q_learning]}}",
        "experiments.td_lambda.lambdas",
        "only the objective td_lambda",
    ),
    (
        "experiments: {td_lambda: null, regression: null, policy_evaluation: null,"
        " parameterizations: null, second_order: null, momentum: null}",
        "experiments",
        "keep at least one",
    ),
    (
        "generalization: {experiments: {svhn_classification: null, svhn_double_dqn: null,"
        " svhn_reinforce: null, sarcos: null}}",
        "generalization.experiments",
        "keep at least one",
    ),
    (
        "generalization: {experiments: {svhn_double_dqn: {agent: {learning_starts: 5000}}}}",
        "generalization.experiments.svhn_double_dqn.agent_steps",
        "5000 agent steps of 'agent.learning_starts'",
    ),
    (
        "generalization: {experiments: {svhn_double_dqn: {agent: {learning_starts: 400}}}}",
        "generalization.experiments.svhn_double_dqn.agent_steps",
        "leave nothing to learn in",
    ),
    (
        "generalization: {experiments: {svhn_double_dqn: {agent: {updates_per_step: 0.004}}}}",
        "generalization.experiments.svhn_double_dqn.agent_steps",
        "leave nothing to learn in",
    ),
    (
        "generalization: {experiments: {svhn_double_dqn: {agent: {replay_capacity: 10}}}}",
        "generalization.experiments.svhn_double_dqn.agent.n_environments",
        "'agent.replay_capacity'",
    ),
    (
        "generalization: {experiments: {svhn_double_dqn: {agent: {epsilon_end: 0.99}}}}",
        "generalization.experiments.svhn_double_dqn.agent.epsilon_end",
        "falls",
    ),
    (
        "generalization: {experiments: {svhn_reinforce: {minibatch: 2001}}}",
        "generalization.experiments.svhn_reinforce.minibatch",
        "2000 agent steps",
    ),
    (
        "generalization: {experiments: {sarcos: {samples: 65}}}",
        "generalization.experiments.sarcos.evaluation_samples",
        "at least the 65",
    ),
    (
        f"experiments: {{td_lambda: {{{MANY}, lambdas: [0, 0.5, 1]}}}}",
        "experiments.td_lambda",
        "150,000 runs",
    ),
    (
        f"generalization: {{experiments: {{sarcos: {{{MANY}}}}}}}",
        "generalization.experiments.sarcos",
        "150,000 runs",
    ),
    (f"control: {{{MANY}}}", "control", "200,000 runs"),
    (f"experiments: {{control: {{{MINE}}}}}", "experiments.control", "another name"),
    (
        "random_networks: {checked_networks: 4}",
        "random_networks.checked_networks",
        "at most the 3 networks",
    ),
]


def planned(written, scale="smoke"):
    return make_plan({"scale": scale, **yaml.safe_load(written)}, WORKFLOW)


@pytest.mark.parametrize(
    ("written", "key", "said"), CONTRADICTIONS, ids=[written for written, *_ in CONTRADICTIONS]
)
def test_contradictions_are_refused_by_the_plan(written, key, said):
    with pytest.raises(UserError) as error:
        planned(written)
    line = str(error.value)
    assert f"'{key}'" in line and said in line and "\n" not in line


def test_an_agent_without_its_settings_learns_at_least_once():
    """Its default `learning_starts` is longer than many trainings."""
    written = """generalization: {experiments: {mine: {dataset: digits, task: double_dqn,
      hidden: [2], extra_layers: [0], n_train: [20], n_seeds: 1, learning_rate: 1.0e-3,
      minibatch: 8, agent_steps: %d, measure_every: %d, samples: 4, evaluation_samples: 4}}}"""
    with pytest.raises(
        UserError, match=r"'generalization\.experiments\.mine\.agent_steps': 400 leave"
    ):
        planned(written % (400, 100))
    assert planned(written % (5002, 2501)).of_kind("generalization")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["a/half.py", "b/half.py"], "a/half.py and b/half.py are both called half"),
        # The second word of an id tells which rule makes the run.
        (["control.py"], "control.py: no objective can be called control"),
    ],
)
def test_own_objectives_keep_their_runs_apart(tmp_path, monkeypatch, files, said):
    monkeypatch.chdir(tmp_path)
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(
            "from td_interference.objectives.q_base import QLearningObjective\n\n\n"
            "class Objective(QLearningObjective):\n    pass\n"
        )
    with pytest.raises(UserError) as error:
        make_plan({"scale": "smoke", "own_objectives": files}, WORKFLOW)
    assert said in str(error.value)


def test_own_objectives_must_join_an_experiment(tmp_path):
    file = tmp_path / "half.py"
    file.touch()
    single = {"regression": {"objectives": ["td_star"]}, "second_order": None}
    user = {"scale": "smoke", "own_objectives": [str(file)], "experiments": single}
    with pytest.raises(UserError, match="join experiments that list more than one"):
        make_plan(user, WORKFLOW)


@pytest.mark.parametrize("pair", [(1e-4, 1.0000001e-4), (0.3, 0.1 + 0.2), (1e-4, 1.00000049e-4)])
def test_settings_that_differ_in_a_late_digit_are_different_runs(pair):
    for written in (
        {"control": {"learning_rates": list(pair)}},
        {"experiments": {"td_lambda": {"learning_rates": list(pair)}}},
    ):
        plan = make_plan({"scale": "smoke", **written}, WORKFLOW)
        runs = (
            plan.of_kind("control") if "control" in written else plan.experiment_runs("td_lambda")
        )
        assert len(runs) == 2 * (8 if "control" in written else 4)
    lambdas = {"experiments": {"td_lambda": {"lambdas": [0.9, 0.9 + 1e-9]}}}
    plan = make_plan({"scale": "smoke", **lambdas}, WORKFLOW)
    runs = plan.experiment_runs("td_lambda")
    assert len({run.run_id for run in runs}) == len(runs) == 4


@given(st.floats(min_value=0, exclude_min=True, max_value=1e9))
def test_digits_tell_numbers_apart(value):
    assert float(digits(value)) == value
    if float(f"{value:.6g}") == value:
        assert digits(value) == f"{value:g}"  # names that were there stay


# From here on: what is accepted can be run. Tiny settings around the boundaries of the rules.

few = settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def accepted(make, **fields):
    """The record, or None where it refuses its fields in a line."""
    try:
        return make(**fields)
    except UserError as error:
        assert "\n" not in str(error)
        return None


@pytest.mark.slow
@few
@given(
    n_environments=st.integers(1, 3),
    n_step=st.integers(1, 6),
    learning_starts=st.integers(1, 30),
    updates_per_step=st.sampled_from([0.1, 0.25, 1.0, 2.5]),
    replay_capacity=st.integers(5, 45),
    agent_steps=st.integers(20, 60),
    restart_period=st.integers(1, 9),
)
def test_an_expert_that_is_accepted_learns(**fields):
    small = {"hidden": 2, "n_atoms": 3, "minibatch": 3, "frozen_period": 5}
    spec = accepted(ExpertSettings, game="asterix", max_frames_per_episode=40, **small, **fields)
    if spec is None:
        return
    training = ExpertTraining(spec)
    while training.agent_step < spec.agent_steps:
        training.step()
    training.check_finite()
    assert training.learner.update_step == spec.updates >= 1


@pytest.mark.slow
@few
@given(
    n_environments=st.integers(1, 3),
    learning_starts=st.integers(1, 12),
    agent_steps=st.integers(1, 20),
    updates_per_step=st.sampled_from([0.1, 0.5, 1.0, 2.0]),
    replay_capacity=st.integers(4, 60),
    window=st.integers(1, 8),
    restart_period=st.integers(1, 9),
    checkpoint=st.integers(1, 12),
)
def test_control_that_is_accepted_learns_and_keeps_a_window(tmp_path_factory, checkpoint, **fields):
    spec = accepted(
        ControlSettings,
        game="asterix",
        hidden=1,
        minibatch=2,
        max_frames_per_episode=16,
        checkpoints=(checkpoint,),
        evaluation_episodes=1,
        evaluation_environments=1,
        **fields,
    )
    if spec is None:
        return
    parts = Parts(tmp_path_factory.mktemp("control"))
    training = ControlTraining(spec, parts, "cpu", 1)
    while training.agent_step < spec.learning_starts + spec.agent_steps:
        training.step()
    assert training.update_step == spec.updates >= 1
    assert len(Replay.load(parts.at(window_name(checkpoint)))) >= 1


@pytest.fixture(scope="module")
def subject():
    replay = Replay(replay_arrays())
    run = run_spec(updates=3, checkpoints=(3,), optimizer="momentum_sgd", minibatch=4)
    trainer = Trainer(run, replay)
    for _ in range(3):
        trainer.advance()
    return Subject(run, trainer.objective, trainer.checkpoint())


@few
@given(
    anchors=st.integers(1, 12),
    anchors_per_segment=st.integers(1, 6),
    half_width=st.integers(5, 8),
    segments=st.integers(2, 4),
    steps_per_segment=st.integers(2, 12),
    window=st.integers(2, 12),
    gain_half_width=st.integers(1, 6),
)
def test_metrics_that_are_accepted_measure(
    subject, anchors, anchors_per_segment, half_width, segments, steps_per_segment, window,
    gain_half_width,
):  # fmt: skip
    written = {
        "stiffness": {
            "anchors": anchors,
            "anchors_per_segment": anchors_per_segment,
            "half_width": half_width,
        },
        "sign_variance": {
            "segments": segments,
            "steps_per_segment": steps_per_segment,
            "window": window,
        },
        "gain": {"minibatches": 2, "half_width": gain_half_width, "unrelated": 2},
    }
    plan = accepted(lambda: make_plan({"scale": "smoke", "metrics": written}, WORKFLOW))
    if plan is None:
        return
    for metric in written:
        arrays = metrics.load(metric)(subject, plan.metric_settings(metric))
        for name, values in arrays.items():
            assert np.isfinite(values).any(), f"{metric}: {name}"
    assert len(arrays["offset"]) == 2 * gain_half_width + 1


@pytest.fixture(scope="module")
def digits_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.h5"
    prepare_dataset("digits", {}, path)
    return path


@few
@given(
    experiment=st.sampled_from(["double_dqn", "reinforce"]),
    steps=st.integers(1, 24),
    measure_every=st.integers(1, 12),
    minibatch=st.integers(1, 30),
    n_environments=st.integers(1, 4),
    learning_starts=st.integers(1, 24),
    updates_per_step=st.sampled_from([0.125, 0.2, 0.5, 1.0, 1.5]),
    replay_capacity=st.integers(1, 8),
)
def test_agents_that_are_accepted_learn_and_are_measured(
    digits_path, experiment, steps, measure_every, minibatch, n_environments, **agent
):
    own = {"n_environments": n_environments, **(agent if experiment == "double_dqn" else {})}
    fields = {
        "dataset": "digits", "task": experiment, "hidden": [1], "extra_layers": [0],
        "n_train": [2], "n_seeds": 1, "learning_rate": 1e-3, "minibatch": minibatch,
        "agent_steps": steps, "measure_every": measure_every, "samples": 2, "evaluation_samples": 2,
        "agent": own,
    }  # fmt: skip
    written = {"experiments": {"mine": fields}}
    plan = accepted(lambda: make_plan({"scale": "smoke", "generalization": written}, WORKFLOW))
    if plan is None:
        return
    group = next(group for group in plan.of_kind("generalization").values() if group.name == "mine")
    training = make_training(group.cells, digits_path, torch.device("cpu"))
    rows = []
    for _ in range(steps // measure_every):
        training.advance(measure_every)
        rows += training.measure()
    assert rows[-1]["update_step"] >= 1
    assert math.isfinite(rows[0]["function_interference_train_train"])
