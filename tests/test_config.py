"""The configuration and the grid: right values come through, wrong ones are named."""

import pytest
from tree import ROOT

from td_interference import tables
from td_interference.errors import UserError
from td_interference.planning.config import SCALES, complete
from td_interference.planning.grid import RunSpec, expand_experiments, expand_grid
from td_interference.planning.plan import make_plan

WORKFLOW = ROOT / "workflow"


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_is_valid(scale):
    plan = make_plan({"scale": scale, "device": "auto"}, WORKFLOW)
    assert plan.scale == scale and plan.runs and "ms_pacman" in plan.games


def test_paper_scale_is_the_paper():
    plan = make_plan({"scale": "paper", "device": "auto"}, WORKFLOW)
    runs = plan.experiment_runs("td_lambda")
    assert len({run.seed for run in runs}) == 5
    for run in runs:
        assert (run.game, run.updates, run.frozen_period) == ("ms_pacman", 500_000, 10_000)
        assert (run.minibatch, run.learning_rate, run.weight_decay) == (32, 1e-4, 1e-4)
        assert (run.hidden, run.gamma, run.optimizer) == (32, 0.99, "adam")
    regressions = plan.experiment_runs("regression")
    assert {run.game for run in regressions} == {"ms_pacman", "asterix", "seaquest"}
    assert len({run.seed for run in regressions}) == 10
    assert len({run.objective for run in regressions}) == 3
    evaluations = plan.experiment_runs("policy_evaluation")
    assert {run.objective for run in evaluations} == {"q_learning"}
    early = plan.experiment_runs("second_order")
    assert max(plan.checkpoints("second_order")) == 100_000 and len(early) == 4 * 3
    control = plan.experiment_runs("control")
    for some_runs in (evaluations, control):
        assert {run.game for run in some_runs} == {"ms_pacman", "asterix", "seaquest"}
        assert {run.optimizer for run in some_runs} == {"adam", "rmsprop", "sgd", "momentum_sgd"}
        assert len({run.seed for run in some_runs}) == 10
        for run in some_runs:
            assert (run.frozen_period, run.minibatch, run.momentum) == (10_000, 32, 0.9)
            assert (run.hidden, run.learning_rate, run.weight_decay) == (32, 1e-4, 1e-4)
    for run in control:
        assert (run.agent_steps, run.updates, run.replay_capacity) == (
            10_000_000,
            10_000_000,
            500_000,
        )
        assert (run.epsilon_start, run.epsilon_end, run.learning_starts) == (1, 0.05, 200_000)
    groups = plan.experiment_runs("generalization")
    cells = {}
    for group in groups:
        cells.setdefault(group.name, []).extend(group.cells)
    sizes = [20, 100, 250, 500, 1000, 5000, 10000, 50000]
    for dataset, widths in (("svhn", [8, 16, 32]), ("cifar10", [16, 32, 64])):
        for experiment in ("classification", "double_dqn", "reinforce"):
            own = cells.pop(f"{dataset}_{experiment}")
            assert len(own) == 3 * 4 * 8 and {len(cell.seeds) for cell in own} == {3}
            assert sorted({cell.hidden for cell in own}) == widths
            assert sorted({cell.n_train for cell in own}) == sizes
            assert {cell.extra_layers for cell in own} == {0, 1, 2, 3}
    assert sorted({cell.hidden for cell in cells["sarcos"]}) == [16, 32, 64, 128, 256]
    assert max(cell.n_train for cell in cells["sarcos"]) == 44484
    assert len(cells["sarcos"]) == 5 * 4 * 8 and len(cells["california"]) == 4 * 7
    assert {cell.extra_layers for cell in cells["california"]} == {2}  # 3 hidden layers
    agent = next(g.cells[0].agent for g in groups if g.name == "svhn_double_dqn")
    assert (agent.gamma, agent.tau, agent.replay_capacity) == (0.9, 0.1, 100_000)
    assert plan.config["generalization"]["confidence"] == 0.9
    replay = plan.replay("ms_pacman", 0)
    assert (replay["transitions"], replay["epsilon"]) == (500_000, 0.05)
    assert replay["repeat_action_probability"] == 0.25


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"scale": "huge"}, "'scale': 'huge' is not one of smoke, laptop, paper"),
        ({"replai": {}}, "'replai' is unknown; did you mean 'replay'"),
        ({"replay": {"epsilom": 0.1}}, "'replay.epsilom' is unknown; did you mean 'epsilon'"),
        (
            {"experiments": {"td_lambda": {"lambdas": [0, 1.5]}}},
            "'experiments.td_lambda.lambdas.1': 1.5 is greater than the maximum of 1",
        ),
        (
            {"experiments": {"td_lambda": {"loss": "huber"}}},
            "'experiments.td_lambda.loss': 'huber' is not one of",
        ),
        ({"training": {"loss": "huber"}}, "'training.loss': 'huber' is not one of"),
        (
            {"experiments": {"second_order": {"minibatch": 16}}},
            "'experiments.second_order': the run ms_pacman-expert_q-adam-lr0.0001-h8-seed0 stands "
            "in another experiment with other settings",
        ),
        ({"control": {"agent_steps": 0}}, "'control.agent_steps': 0 is less than the minimum of 1"),
        ({"control": {"checkpoints": [10**6]}}, "'control.checkpoints': (1000000,) goes beyond"),
        ({"random_networks": {"networks": 1}}, "'random_networks.networks': 1 is less than"),
        ({"random_networks": {"checked_networks": 9}}, "at most the 3 networks of the study"),
        ({"own_objectives": ["mine.txt"]}, "'own_objectives': 'mine.txt' should be a Python file"),
        ({"own_objectives": ["td_star.py"]}, "'td_star' is an objective already"),
        ({"own_objectives": ["absent/mine.py"]}, "absent/mine.py: no such file"),
        (
            {"experiments": {"td_lambda": {"checkpoints": [10**9]}}},
            "'experiments.td_lambda.checkpoints': 1000000000 is after the last",
        ),
        ({"experiments": {"td_lambda": {"checkpoints": [2, 1]}}}, "in ascending order"),
        ({"experiments": {"td_lambda": {"games": ["ms_pacmann"]}}}, "did you mean ms_pacman"),
        ({"datasets": {"SVHN": {}}}, "'datasets.SVHN': a name here has small letters"),
        ({"datasets": {"svhn": {"paht": "x"}}}, "'datasets.svhn.paht' is unknown; did you mean"),
        (
            {"generalization": {"experiments": {"sarcos": {"updates": 0}}}},
            "'generalization.experiments.sarcos.updates': 0 is less than",
        ),
        (
            {"generalization": {"experiments": {"svhn_double_dqn": {"agent": {"tua": 1}}}}},
            "'generalization.experiments.svhn_double_dqn.agent.tua' is unknown; did you mean 'tau'",
        ),
        (
            {"generalization": {"experiments": {"sarcos": {"measure_every": 7}}}},
            "'generalization.experiments.sarcos.measure_every': 7 must divide the 300 updates",
        ),
        ({"device": "tpu"}, "'device': 'tpu' is not one of"),
        ({"replay": {"transitions": "many"}}, "'replay.transitions': 'many' is not a whole number"),
        ({"expert": {"v_min": 10, "v_max": -10}}, "v_min"),
    ],
)
def test_wrong_keys_are_named_with_the_way_out(over, message):
    with pytest.raises(UserError) as error:
        make_plan({"scale": "smoke", "device": "auto", **over}, WORKFLOW)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_values_from_the_command_line_are_numbers():
    over = {"experiments": {"td_lambda": {"lambdas": ["0", "0.5"], "learning_rates": ["1e-3"]}}}
    config = complete({"scale": "smoke", "device": "auto", **over}, WORKFLOW)
    assert config["experiments"]["td_lambda"]["lambdas"] == [0, 0.5]
    assert config["experiments"]["td_lambda"]["learning_rates"] == [1e-3]
    assert config["experiments"]["td_lambda"]["hidden"] == [8]  # the rest stays


def test_an_experiment_can_be_left_out_from_the_command_line():
    experiments = {"sarcos": "null", "svhn_reinforce": None}
    user = {"scale": "smoke", "device": "auto", "generalization": {"experiments": experiments}}
    plan = make_plan(user, WORKFLOW)
    assert {group.name for group in plan.of_kind("generalization").values()} == {
        "digits_classification",
        "digits_double_dqn",
    }


def test_intervals_of_the_generalization_experiments_are_their_own():
    plan = make_plan({"scale": "smoke", "device": "auto"}, WORKFLOW)
    own, other = (tables.entry(name).sources for name in ("gap_by_size", "gain_by_lambda"))
    assert (plan.statistics(own)["confidence"], plan.statistics(other)["confidence"]) == (0.9, 0.95)
    assert plan.statistics(own)["resamples"] == plan.config["statistics"]["resamples"]


def test_an_experiment_may_set_what_all_runs_share():
    over = {"training": {"updates": 300}, "experiments": {"td_lambda": {"updates": 400}}}
    plan = make_plan({"scale": "smoke", "device": "auto", **over}, WORKFLOW)
    assert {run.updates for run in plan.experiment_runs("td_lambda")} == {400}
    assert {run.updates for run in plan.experiment_runs("regression")} == {300}


def test_a_run_of_several_experiments_keeps_the_checkpoints_of_all():
    plan = make_plan({"scale": "smoke", "device": "auto"}, WORKFLOW)
    run = plan.runs["ms_pacman-expert_q-adam-lr0.0001-h8-seed0"]
    assert run.checkpoints == (50, 100, 200)
    assert run in plan.experiment_runs("regression") and run in plan.experiment_runs("second_order")
    assert plan.checkpoints("second_order") == [50, 100]
    alone = plan.runs["ms_pacman-td_star-adam-lr0.0001-h8-seed0"]
    assert alone.checkpoints == (100, 200)


def test_own_objectives_join_the_experiments_that_compare_objectives(tmp_path):
    file = tmp_path / "half_way.py"
    file.write_text(
        "from td_interference.objectives.q_base import QLearningObjective\n\n"
        "raise SystemExit('planning must not run it')\n\n"
        "class Objective(QLearningObjective):\n    pass\n"
    )
    user = {"scale": "smoke", "device": "auto", "own_objectives": [str(file)]}
    plan = make_plan(user, WORKFLOW)
    own = {run_id for run_id in plan.runs if "half_way" in run_id}
    assert own == {f"ms_pacman-half_way-adam-lr0.0001-h8-seed{seed}" for seed in (0, 1)}
    for experiment in ("regression", "second_order"):
        assert own < {run.run_id for run in plan.experiment_runs(experiment)}
    for experiment in ("policy_evaluation", "td_lambda"):
        assert not own & {run.run_id for run in plan.experiment_runs(experiment)}
    assert plan.runs[min(own)].objective_file == str(file)


def test_sources_of_tables_choose_runs():
    games = {"games": ["asterix", "ms_pacman"]}
    user = {"scale": "smoke", "device": "auto", "control": games}
    plan = make_plan(user, WORKFLOW)
    (source,) = tables.entry("gain_over_training").sources
    chosen = plan.source_runs(source)
    assert [(run.game, run.optimizer, run.seed) for run in chosen] == [
        ("asterix", "adam", 0),
        ("asterix", "adam", 1),
    ]
    everything = tables.Source(experiment="control", metric="gain")
    assert len(plan.source_runs(everything)) == 2 * 4 * 2
    studies = tables.Source(experiment="random_networks", metric="random_networks")
    assert plan.source_runs(studies) == list(plan.of_kind("random_networks").values())


def test_control_is_measured_as_q_learning(tmp_path):
    plan = make_plan({"scale": "smoke", "device": "auto"}, WORKFLOW)
    settings = plan.of_kind("control")["ms_pacman-control-rmsprop-lr0.0001-h8-seed1"]
    run = plan.runs[settings.run_id].measured_as
    assert (run.objective, run.optimizer, run.seed) == ("q_learning", "rmsprop", 1)
    assert run.updates == 200
    assert (run.hidden, run.loss, run.gamma) == (settings.hidden, settings.loss, settings.gamma)
    assert (run.minibatch, run.frozen_period) == (settings.minibatch, settings.frozen_period)
    assert run.momentum == settings.momentum and run.weight_decay == settings.weight_decay


def test_playing_knows_the_rules_of_the_game():
    plan = make_plan({"scale": "smoke", "device": "auto"}, WORKFLOW)
    assert plan.metric_settings("policy_score")["repeat_action_probability"] == 0.25
    assert plan.metric_settings("gain") == plan.config["metrics"]["gain"]


def test_run_ids_are_unique_readable_and_stable():
    config = complete({"scale": "laptop", "device": "auto"}, WORKFLOW)
    runs = expand_grid(config, "td_lambda")
    everything = {run.run_id for name in config["experiments"] for run in expand_grid(config, name)}
    planned = [run for grid in expand_experiments(config).values() for run in grid]
    assert {run.run_id for run in planned} == everything and len(set(planned)) == len(everything)
    assert any("ms_pacman-td_lambda0.9-adam-lr0.0001-" in run.run_id for run in runs)
    assert RunSpec.from_dict(runs[0].to_dict()) == runs[0]


def test_lambda_belongs_to_td_lambda_alone(run):
    with pytest.raises(UserError, match="needs lambda"):
        RunSpec.from_dict({**run.to_dict(), "lambda_": None})
    with pytest.raises(UserError, match=r"outside \[0, 1\]"):
        RunSpec.from_dict({**run.to_dict(), "lambda_": -0.1})


def test_random_streams_are_shared_across_lambda_only(run):
    def stream(**over):
        return RunSpec.from_dict({**run.to_dict(), **over}).random_stream

    assert stream(lambda_=0.0) == stream(lambda_=1.0)
    assert len({stream(), stream(seed=1), stream(hidden=4), stream(game="asterix")}) == 4


@pytest.mark.parametrize("user", [{1: 2}, {"datasets": {None: {}}}])
def test_keys_that_are_no_words_are_named(user):
    with pytest.raises(UserError, match=r"config key '(1|datasets.None)': keys are words"):
        complete(user, WORKFLOW)


def test_a_count_with_a_point_is_named():
    with pytest.raises(
        UserError, match=r"config key 'training.minibatch': 8.0 is not a whole number; write 8"
    ):
        complete({"scale": "smoke", "device": "cpu", "training": {"minibatch": 8.0}}, WORKFLOW)
