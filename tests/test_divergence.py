"""Training that diverges: what stops, what stays, and how figures do without it."""

import dataclasses
import math

import identities
import polars as pl
import pytest
import torch
from checkpoint_files import checkpoint_steps
from measurements import STATISTICS
from problems import run_spec
from stages import CONTROL, control_outputs

from td_interference.agents.control.training import ControlTraining, train_control
from td_interference.agents.expert.training import ExpertTraining
from td_interference.errors import UserError
from td_interference.figures import fig05_stiffness_by_lambda, render
from td_interference.jobs.divergence import Diverged, all_finite
from td_interference.jobs.kept_files import Parts
from td_interference.jobs.resume import ResumeState
from td_interference.metrics.measuring import measure_run
from td_interference.planning.control import window_name
from td_interference.storage import hdf5, kinds
from td_interference.storage.checkpoints import read_checkpoint
from td_interference.storage.identity import of_control, of_measurement
from td_interference.tables.reduce import compute_table
from td_interference.training import Trainer, train

CPU = torch.device("cpu")
# The first step throws the weights so far that the second loss is infinite or not a number.
ABSURD = {"learning_rate": 1e30, "optimizer": "sgd", "loss": "squared"}
STIFFNESS = {"checkpoints": "last", "anchors": 10, "anchors_per_segment": 5, "half_width": 5}


def trained(run, replay_path, directory, on_divergence="stop", interval=60.0, described=None):
    train(
        run,
        replay_path,
        directory / "checkpoints.h5",
        directory / "learning_curve.csv",
        directory / "state",
        identity=described or identities.of_run(run),
        device=CPU,
        resume_interval=interval,
        on_divergence=on_divergence,
    )
    return directory / "checkpoints.h5"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_all_finite(value):
    tensors = [torch.zeros(3), torch.zeros(2, 2)]
    assert all_finite(tensors)
    tensors[1][1, 0] = value
    assert not all_finite(tensors)


def test_the_line_names_step_learning_rate_game_and_what_is_kept(replay_path, tmp_path):
    run = run_spec(**ABSURD, updates=1000, checkpoints=(1, 1000))
    with pytest.raises(Diverged) as caught:
        trained(run, replay_path, tmp_path, interval=0)
    said = str(caught.value)
    assert "update step 2 " in said and "learning rate 1e+30" in said and "ms_pacman" in said
    assert "leave_out" in said and "\n" not in said
    kept = tmp_path / "state" / "state-000001.pt"
    assert f"the last good state is {kept}" in said and kept.exists()
    assert not (tmp_path / "checkpoints.h5").exists()
    assert read_checkpoint(tmp_path / "state" / "checkpoint-1.h5", 1).update_step == 1


def test_without_a_state_the_last_checkpoint_is_named(replay_path, tmp_path):
    run = run_spec(**ABSURD, checkpoints=(1, 12))
    with pytest.raises(Diverged, match=r"last good state is .*checkpoint-1\.h5"):
        trained(run, replay_path, tmp_path)


@pytest.mark.parametrize("keep", ["state_dict", "checkpoint"])
def test_nothing_is_kept_of_a_network_that_is_not_finite(replay, keep):
    """A gradient may overflow at a finite loss; the curve would only see it at the next one."""
    trainer = Trainer(run_spec(updates=1000, checkpoints=(1000,)), replay)
    trainer.advance()
    getattr(trainer, keep)()
    next(iter(trainer.objective.network.parameters())).data.view(-1)[0] = math.inf
    with pytest.raises(Diverged, match="at update step 1 "):
        getattr(trainer, keep)()


def test_a_loss_that_is_not_finite_is_not_saved_over(replay):
    trainer = Trainer(run_spec(updates=1000, checkpoints=(1000,)), replay)
    trainer.advance()
    trainer._sums[2] = math.nan
    with pytest.raises(Diverged):
        trainer.state_dict()


def test_agents_keep_nothing_that_is_not_finite(tmp_path):
    from stages import EXPERT

    control = ControlTraining(CONTROL, Parts(tmp_path), "cpu", 1)
    expert = ExpertTraining(EXPERT)
    for training, network in ((control, control.network), (expert, expert.learner.online)):
        training.state_dict()
        list(network.parameters())[-1].data.view(-1)[0] = math.nan
        with pytest.raises(Diverged, match=r"asterix diverged.*learning rate"):
            training.state_dict()


def test_control_stops_or_is_left_out(tmp_path):
    settings = dataclasses.replace(CONTROL, optimizer="sgd", learning_rate=1e30, checkpoints=(1, 9))
    for keep in ("stop", "leave_out"):
        outputs = control_outputs(tmp_path / keep)
        resume = ResumeState(tmp_path / f"{keep}-state", {})
        if keep == "stop":
            with pytest.raises(Diverged, match=r"update step 2 .*1e\+30; .*checkpoint-1\.h5"):
                train_control(settings, outputs, resume, on_divergence=keep)
            assert not outputs.checkpoints.exists() and resume.directory.exists()
            continue
        train_control(settings, outputs, resume, on_divergence=keep)
        assert not resume.directory.exists()
    assert checkpoint_steps(outputs.checkpoints) == [1]
    assert [path.name for path in outputs.windows.iterdir()] == [window_name(1)]
    assert pl.read_csv(outputs.evaluation)["update_step"].unique().to_list() == [1]
    assert hdf5.read_attributes(outputs.checkpoints)["diverged_at"] == 2


def test_control_that_reached_nothing_can_be_measured(tmp_path):
    settings = dataclasses.replace(CONTROL, optimizer="sgd", learning_rate=1e30, checkpoints=(9,))
    outputs = control_outputs(tmp_path)
    train_control(settings, outputs, ResumeState(tmp_path / "s", {}), on_divergence="leave_out")
    assert checkpoint_steps(outputs.checkpoints) == [] and not list(outputs.windows.iterdir())
    assert pl.read_csv(outputs.evaluation).columns[:2] == ["update_step", "episode"]
    for metric, settings_of_metric in (("stiffness", STIFFNESS), ("singular_values", {})):
        path = tmp_path / f"{metric}.h5"
        measure_run(
            metric,
            {**settings_of_metric, "checkpoints": "all"},
            settings,
            outputs.windows,
            outputs.checkpoints,
            path,
            wanted=of_control(settings),
            device=CPU,
        )
        assert len(hdf5.read(path, kinds.MEASUREMENTS[metric])["update_step"]) == 0
        assert hdf5.read_attributes(path)["diverged_at"] == 2


@pytest.fixture(scope="module")
def measured(replay_path, tmp_path_factory):
    """Two λ with three runs each, trained and measured; which of them diverge is asked for."""
    directory = tmp_path_factory.mktemp("measured")
    made = {}

    def make(diverging):
        items, paths = [], []
        for lambda_ in (0.0, 1.0):
            for seed in range(3):
                absurd = (lambda_, seed) in diverging
                run = run_spec(lambda_=lambda_, seed=seed, **(ABSURD if absurd else {}))
                # But for what happened to it, it is a run as the others of its line.
                described = identities.of_run(run_spec(lambda_=lambda_, seed=seed))
                path = made.get(run)
                if path is None:
                    own = directory / run.run_id
                    checkpoints = trained(run, replay_path, own, "leave_out", described=described)
                    path = made[run] = own / "stiffness.h5"
                    measure_run(
                        "stiffness",
                        STIFFNESS,
                        run,
                        replay_path,
                        checkpoints,
                        path,
                        wanted=described,
                        device=CPU,
                    )
                items.append(
                    {
                        "experiment": "td_lambda",
                        "metric": "stiffness",
                        "checkpoints": list(run.checkpoints),
                        "identity": of_measurement("stiffness", STIFFNESS, "", described),
                    }
                )
                paths.append(path)
        return items, paths

    return make


def table_of(measured, directory, on_divergence="leave_out"):
    parquet = directory / "table.parquet"
    compute_table(
        "stiffness_by_lambda",
        *measured,
        STATISTICS,
        parquet,
        directory / "table.csv",
        on_divergence,
    )
    return pl.read_parquet(parquet)


def test_a_run_that_diverged_is_counted_and_in_no_mean(measured, tmp_path):
    items, paths = measured({(0.0, 1)})
    table = table_of((items, paths), tmp_path)
    counts = table.group_by("lambda", maintain_order=True).agg(pl.col("n", "diverged").unique())
    assert counts.rows() == [(0.0, [2], [1]), (1.0, [3], [0])]
    without = table_of((items[:1] + items[2:], paths[:1] + paths[2:]), tmp_path)
    assert table.drop("diverged").equals(without.drop("diverged"))
    assert table["mean"].is_finite().all()


def test_a_line_whose_runs_all_diverged_is_empty(measured, tmp_path, monkeypatch):
    table = table_of(measured({(0.0, 0), (0.0, 1), (0.0, 2)}), tmp_path)
    lost = table.filter(pl.col("lambda") == 0)
    assert lost["n"].unique().to_list() == [0] and lost["diverged"].unique().to_list() == [3]
    assert lost["mean"].is_nan().all() and lost["offset"].to_list() == list(range(-5, 6))
    titles = []
    plot = fig05_stiffness_by_lambda.plot
    monkeypatch.setattr(
        fig05_stiffness_by_lambda,
        "plot",
        lambda data, title: titles.append(title) or plot(data, title),
    )
    files = [tmp_path / f"fig5.{kind}" for kind in ("pdf", "png", "csv")]
    paths = {"stiffness_by_lambda": tmp_path / "table.parquet"}
    render.make_figure("fig5", paths, "smoke", 0.95, *files)
    assert titles[0].endswith("left out, since diverged: up to 3 runs per mean")
    assert pl.read_csv(files[2])["lambda"].unique().to_list() == [1.0]


def test_a_table_of_nothing_but_diverged_runs_is_refused(measured, tmp_path):
    every = {(lambda_, seed) for lambda_ in (0.0, 1.0) for seed in range(3)}
    with pytest.raises(UserError, match="all runs of a table diverged"):
        table_of(measured(every), tmp_path)


def test_where_config_says_stop_no_table_goes_on(measured, tmp_path):
    with pytest.raises(UserError, match=r"td_lambda0.*seed1: its training diverged, .*leave_out"):
        table_of(measured({(0.0, 1)}), tmp_path, "stop")


def test_a_correlation_does_without_them(tmp_path):
    from measurements import smoke_plan, write_table

    plan = smoke_plan(
        experiments={"parameterizations": {"learning_rates": [1e-5, 1e-4, 1e-3, 1e-2]}}
    )
    write = hdf5.write

    def mark(path, table, arrays, identity):
        diverged = "lr0.01-" in str(path)
        write(path, table, arrays, identity, {"diverged_at": 3} if diverged else {})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5, "write", mark)
        runs = write_table("parameterizations", tmp_path, plan, on_divergence="leave_out")
        table = write_table(
            "parameterization_correlations", tmp_path, plan, on_divergence="leave_out"
        )
    lost = runs.filter(pl.col("learning_rate") == 0.01)
    assert lost["score"].is_nan().all() and lost["diverged"].to_list() == [1, 1]
    assert runs["diverged"].sum() == 2 and len(runs) == 8
    assert table["n"].unique().to_list() == [6] and table["diverged"].unique().to_list() == [2]
    assert table["r"].is_finite().all()


def test_a_run_reached_what_lies_before_its_bad_end():
    assert Diverged("", 10).reached((5, 9, 10, 15)) == (5, 9)
