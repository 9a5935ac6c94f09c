"""The configuration and the grid: right values come through, wrong ones are named."""

from pathlib import Path

import pytest

from td_interference.config import SCALES, complete, read_yaml
from td_interference.errors import UserError
from td_interference.grid import RunSpec, all_runs, expand_grid
from td_interference.planning import make_plan

WORKFLOW = Path(__file__).parent.parent / "workflow"


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_is_valid(scale):
    plan = make_plan({"scale": scale, "device": "auto"}, WORKFLOW)
    assert plan.scale == scale and plan.runs and "ms_pacman" in plan.games


def test_paper_scale_is_the_paper():
    plan = make_plan({"scale": "paper", "device": "auto"}, WORKFLOW)
    runs = plan.experiment_runs("td_lambda")
    assert len({run.seed for run in runs}) == 5
    for run in runs:
        assert (run.game, run.steps, run.frozen_period) == ("ms_pacman", 500_000, 10_000)
        assert (run.minibatch, run.learning_rate, run.weight_decay) == (32, 1e-4, 1e-4)
        assert (run.hidden, run.gamma, run.optimizer) == (32, 0.99, "adam")
    regressions = plan.experiment_runs("regression")
    assert {run.game for run in regressions} == {"ms_pacman", "asterix", "seaquest"}
    assert len({run.seed for run in regressions}) == 10
    assert len({run.objective for run in regressions}) == 3
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
        (
            {"experiments": {"td_lambda": {"checkpoints": [10**9]}}},
            "'checkpoints': 1000000000 is after the last",
        ),
        ({"experiments": {"td_lambda": {"checkpoints": [2, 1]}}}, "in ascending order"),
        ({"experiments": {"td_lambda": {"games": ["ms_pacmann"]}}}, "did you mean ms_pacman"),
        ({"device": "tpu"}, "'device': 'tpu' is not one of"),
        ({"replay": {"transitions": "many"}}, "'replay.transitions': 'many' is not of type"),
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
    assert config["experiments"]["td_lambda"]["steps"] == 200  # the rest stays


def test_yaml_tags_and_garbage_are_refused(tmp_path):
    path = tmp_path / "config.yaml"
    for content in ("!!python/object/apply:os.getcwd []", "a: [1", "- 1", "\x00"):
        path.write_text(content)
        with pytest.raises(UserError, match=r"config\.yaml"):
            read_yaml(path)
    with pytest.raises(UserError, match="no such file"):
        read_yaml(tmp_path / "absent.yaml")


def test_run_ids_are_unique_readable_and_stable():
    config = complete({"scale": "laptop", "device": "auto"}, WORKFLOW)
    runs = expand_grid(config, "td_lambda")
    everything = [run for name in config["experiments"] for run in expand_grid(config, name)]
    assert len({run.run_id for run in everything}) == len(everything) == len(all_runs(config))
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
