"""Exchanged, renamed and moved files: a reader refuses what is not of what it wants, in a line."""

import dataclasses
import re
import shutil
from dataclasses import asdict

import measured_groups
import numpy as np
import pytest
import torch
from measurements import STATISTICS
from problems import replay_arrays, run_spec
from tree import ROOT
from typer.testing import CliRunner

from td_interference.agents.expert.file import load_expert, new_network, save_expert
from td_interference.cli import app
from td_interference.collect import collect_replay
from td_interference.datasets.prepare import prepare_dataset
from td_interference.errors import UserError
from td_interference.generalization.data import read_task
from td_interference.generalization.group_job import make_training
from td_interference.jobs.resume import ResumeState
from td_interference.metrics import measuring
from td_interference.metrics.measuring import measure_run
from td_interference.planning.control import ControlSettings, window_name
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.lineage import Lineage
from td_interference.planning.plan import make_plan
from td_interference.planning.replay import ReplaySpec
from td_interference.planning.runs import run_of
from td_interference.planning.studies import Study
from td_interference.storage import attributes, hdf5, identity, kinds, seal
from td_interference.storage.checkpoints import (
    Checkpoint,
    merge_checkpoints,
    read_checkpoint,
    write_checkpoint,
)
from td_interference.tables.reduce import compute_table
from td_interference.training import train

CPU = torch.device("cpu")
SIGNS = {"checkpoints": "last", "segments": 2, "steps_per_segment": 10, "window": 4}
PLAYER = ExpertSettings("ms_pacman", hidden=8)
SPEC = ReplaySpec(
    game="ms_pacman",
    seed=0,
    transitions=100,
    epsilon=0.5,
    gamma=0.99,
    repeat_action_probability=0.25,
    max_frames_per_episode=1200,
    n_environments=2,
)
REPLAY = identity.of_replay(asdict(SPEC), asdict(PLAYER))
# γ is that of the run and of its D*, as the plan has them.
RUN = run_spec(objective="td_lambda", lambda_=0.0, updates=4, checkpoints=(4,), gamma=0.99)


def of_run(run=RUN, expert=PLAYER, **over):
    """The identity that the workflow has of a run: its D* is of its game, seed and γ."""
    spec = dataclasses.replace(SPEC, game=run.game, seed=run.seed, gamma=run.gamma, **over)
    return identity.of_run(run, asdict(spec), asdict(expert))


def refusal(what, path, *words):
    """The line in which `what` is refused; it names the file and all the words."""
    with pytest.raises(UserError) as error:
        what()
    said = str(error.value)
    assert said.startswith(f"{path}: is of ") and " is needed here; rebuild it: " in said, said
    assert "\n" not in said
    for word in words:
        assert word in said, said
    return said


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two D*, runs of two λ and two seeds, a measurement of each."""
    folder = tmp_path_factory.mktemp("project") / "results" / "smoke"
    for seed in (0, 1):
        of = of_run(dataclasses.replace(RUN, seed=seed))
        replay = identity.of_replay(of["replay"], of["expert"])
        path = folder / "replay" / f"ms_pacman-seed{seed}.h5"
        hdf5.write(path, kinds.REPLAY, replay_arrays(seed=seed), replay)
    for lambda_, seed in ((0.0, 0), (1.0, 0), (0.0, 1)):
        run = dataclasses.replace(RUN, lambda_=lambda_, seed=seed)
        own = folder / "runs" / run.run_id
        paths = own / "checkpoints.h5", own / "learning_curve.csv", own / "state"
        replay = folder / "replay" / f"ms_pacman-seed{seed}.h5"
        options = {"device": CPU, "resume_interval": 60.0}
        train(run, replay, *paths, identity=of_run(run), **options)
        path = folder / "metrics" / "sign_variance" / f"{run.run_id}.h5"
        measurement(folder, run, replay, paths[0], path)
    return folder


def measurement(folder, run, replay, checkpoints, path, wanted=None):
    wanted = of_run(run) if wanted is None else wanted
    files = replay, checkpoints, path
    measure_run("sign_variance", SIGNS, run, *files, wanted=wanted, code="c0de", device=CPU)


@pytest.mark.parametrize("game", ["asterix", "seaquest", "pong", "freeway"])
def test_an_expert_of_another_game_records_no_replay(tmp_path, game):
    """Its Q* has 9, 18, 6 or 3 columns; of Asterix as many as of MsPacman."""
    path = tmp_path / "results" / "smoke" / "experts" / "ms_pacman" / "expert.safetensors"
    expert = dataclasses.replace(PLAYER, game=game)
    save_expert(path, new_network(expert, torch.Generator().manual_seed(0)), expert)
    output, resume = tmp_path / "r.h5", ResumeState(tmp_path / "state", {})
    options = {"n_threads": 1, "device": CPU, "resume": resume}
    refusal(
        lambda: collect_replay(SPEC, path, output, identity=REPLAY, **options),
        path,
        f"is of the expert of {game}, seed 0",
        "but the expert of ms_pacman, seed 0",
        f'expert.game "{game}"',
    )
    assert not output.exists()


@pytest.mark.parametrize("over", [{"seed": 1}, {"agent_steps": 400}, {"gamma": 0.5}])
def test_an_expert_of_other_settings_is_refused(tmp_path, over):
    path = tmp_path / "results" / "smoke" / "experts" / "ms_pacman" / "expert.safetensors"
    expert = dataclasses.replace(PLAYER, learning_starts=100, **over)
    save_expert(path, new_network(expert, torch.Generator().manual_seed(0)), expert)
    wanted = identity.of_expert(asdict(dataclasses.replace(PLAYER, learning_starts=100)))
    ((name, value),) = over.items()
    refusal(lambda: load_expert(path, wanted=wanted), path, f"expert.{name} {value}")
    assert load_expert(path, wanted=identity.of_expert(asdict(expert))).settings == expert


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (of_run(dataclasses.replace(RUN, seed=1)), ("D* of ms_pacman, seed 1", "replay.seed 0")),
        (of_run(dataclasses.replace(RUN, gamma=0.5)), ("replay.gamma 0.99", "replay.gamma 0.5")),
        (of_run(transitions=400), ("replay.transitions 100", "replay.transitions 400")),
        (of_run(epsilon=0.1), ("replay.epsilon 0.5", "replay.epsilon 0.1")),
        (
            of_run(expert=dataclasses.replace(PLAYER, agent_steps=5000)),
            ("expert.agent_steps 100000", "expert.agent_steps 5000"),
        ),
    ],
)
def test_a_run_trains_on_its_own_replay_alone(results, tmp_path, wanted, words):
    path = results / "replay" / "ms_pacman-seed0.h5"
    outputs = tmp_path / "checkpoints.h5", tmp_path / "curve.csv", tmp_path / "state"
    run, options = run_of(wanted), {"device": CPU, "resume_interval": 60.0}
    refusal(lambda: train(run, path, *outputs, identity=wanted, **options), path, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"lambda_": 1.0}, ("run.lambda_ 0.0", "run.lambda_ 1.0", "td_lambda1-")),
        ({"seed": 1}, ("run.seed 0", "run.seed 1", "h2-seed1 (")),
        ({"gamma": 0.5}, ("run.gamma 0.99", "run.gamma 0.5")),
        ({"updates": 400}, ("(run.updates 4)", "(run.updates 400)")),
        ({"loss": "squared"}, ('run.loss "capped"', 'run.loss "squared"')),
    ],
)
def test_checkpoints_of_another_run_are_not_measured(results, tmp_path, over, words):
    """Also a run that is called alike but for settings which its name does not tell."""
    run = dataclasses.replace(RUN, **over)
    checkpoints = results / "runs" / RUN.run_id / "checkpoints.h5"
    replay, path = results / "replay" / "ms_pacman-seed0.h5", tmp_path / "m.h5"
    refusal(lambda: measurement(results, run, replay, checkpoints, path), checkpoints, *words)
    assert not path.exists()


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_run_is_measured_on_the_replay_it_learned_from(results, tmp_path, by_hand):
    wanted = None if by_hand else of_run()
    checkpoints, path = results / "runs" / RUN.run_id / "checkpoints.h5", tmp_path / "m.h5"
    others = results / "replay" / "ms_pacman-seed1.h5"
    arguments = results, RUN, others, checkpoints, path, wanted
    refusal(lambda: measurement(*arguments), others, "replay.seed 1", "replay.seed 0", "sha256")
    # Recorded by the same settings on another machine: other play.
    again = tmp_path / "results" / "smoke" / "replay" / "ms_pacman-seed0.h5"
    hdf5.write(again, kinds.REPLAY, replay_arrays(seed=7), REPLAY)
    said = refusal(lambda: measurement(results, RUN, again, checkpoints, path, wanted), again)
    assert "(sha256 " in said and "replay." not in said
    assert not path.exists()
    # Recorded again with the same bytes, or copied, it is the one that was used.
    shutil.copy(results / "replay" / "ms_pacman-seed0.h5", again)
    measurement(results, RUN, again, checkpoints, path, wanted)
    own = results / "metrics" / "sign_variance" / f"{RUN.run_id}.h5"
    assert path.read_bytes() == own.read_bytes()


def table_item(run, settings=SIGNS, code="c0de", metric="sign_variance"):
    return {
        "experiment": "td_lambda",
        "metric": metric,
        "checkpoints": [4],
        "identity": identity.of_measurement(metric, settings, code, of_run(run)),
    }


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (table_item(dataclasses.replace(RUN, lambda_=1.0)), ("run.lambda_ 0.0", "run.lambda_ 1.0")),
        (table_item(dataclasses.replace(RUN, seed=1)), ("run.seed 0", "run.seed 1")),
        (table_item(dataclasses.replace(RUN, gamma=0.5)), ("run.gamma 0.99", "run.gamma 0.5")),
        (table_item(dataclasses.replace(RUN, updates=400)), ("run.updates 4", "run.updates 400")),
        (table_item(RUN, {**SIGNS, "window": 5}), ("settings.window 4", "settings.window 5")),
        (table_item(RUN, code="edited"), ('code "c0de"', 'code "edited"')),
    ],
)
def test_a_table_is_of_the_measurements_asked_for(results, tmp_path, item, words):
    own, outputs = table_item(RUN), (tmp_path / "t.parquet", tmp_path / "t.csv")
    path = results / "metrics" / "sign_variance" / f"{RUN.run_id}.h5"
    compute_table("sign_variance_by_lambda", [own], [path], STATISTICS, *outputs)
    for output in outputs:
        output.unlink()
    refusal(
        lambda: compute_table("sign_variance_by_lambda", [item], [path], STATISTICS, *outputs),
        path,
        f"sign_variance of the run {RUN.run_id} (",
        f"but sign_variance of the run {run_of(item['identity']).run_id} (",
        *words,
    )
    assert not any(output.exists() for output in outputs)


def test_metrics_of_one_kind_are_told_apart(tmp_path):
    """Gain at the end of a run and over its training are files of one schema."""
    settings = {"checkpoints": "last"}
    path = tmp_path / "results" / "smoke" / "metrics" / "gain_over_training" / "r.h5"
    arrays = {
        "update_step": np.array([4]),
        "offset": np.array([0]),
        "gain": np.zeros((1, 1, 1, 1)),
        "gain_unrelated": np.zeros((1, 1, 1)),
    }
    gain = identity.of_measurement("gain", settings, "c0de", of_run())
    hdf5.write(path, kinds.MEASUREMENTS["gain"], arrays, gain)
    over = identity.of_measurement("gain_over_training", settings, "c0de", of_run())
    schema = kinds.MEASUREMENTS["gain"]
    refusal(lambda: hdf5.read(path, schema, over), path, "is of gain of", "gain_over_training")


CONTROL = ControlSettings("ms_pacman", hidden=2, minibatch=8, checkpoints=(4, 8))


def control_run(folder, settings, seed):
    """Write checkpoints and windows of a control run as its job does."""
    run, digests, parts = identity.of_control(settings), {}, []
    for step in settings.checkpoints:
        window = folder / "windows" / window_name(step)
        arrays = replay_arrays(seed=seed + step)
        hdf5.write(window, kinds.REPLAY, arrays, identity.of_window(run, step))
        digests[str(step)] = seal.sealed_digest(window)
        parts.append(folder / f"part-{step}.h5")
        weights = {"w": torch.ones(2)}
        write_checkpoint(parts[-1], Checkpoint(step, weights, weights, {}), run)
    merge_checkpoints(folder / "checkpoints.h5", parts, run, {"windows": digests})


@pytest.mark.parametrize(
    ("foreign", "words"),
    [
        ("another step", ("update_step 8", "update_step 4")),
        ("another run", ('control.optimizer "rmsprop"', 'control.optimizer "adam"')),
        ("another machine", ("(sha256 ",)),
    ],
)
def test_control_is_measured_on_its_own_windows(tmp_path, foreign, words):
    folder = tmp_path / "results" / "smoke" / "runs" / CONTROL.run_id
    control_run(folder, CONTROL, seed=0)
    windows = folder / "windows"
    if foreign == "another step":
        shutil.copy(windows / window_name(8), windows / window_name(4))
    else:
        other = dataclasses.replace(
            CONTROL, **({"optimizer": "rmsprop"} if foreign == "another run" else {})
        )
        control_run(tmp_path / "other", other, seed=50)
        shutil.copy(tmp_path / "other" / "windows" / window_name(4), windows / window_name(4))
    wanted = identity.of_control(CONTROL)
    arguments = CONTROL, windows, folder / "checkpoints.h5", tmp_path / "m.h5"
    said = refusal(
        lambda: measure_run("gain", {"checkpoints": "all"}, *arguments, wanted=wanted, device=CPU),
        windows / window_name(4),
        *words,
    )
    assert said.endswith(f"-- results/smoke/runs/{CONTROL.run_id}/windows")


def test_what_is_measured_of_control_is_called_control(tmp_path):
    """Not by the name of the run from D* as which it is measured."""
    run = identity.of_control(CONTROL)
    of = identity.of_measurement("gain", {}, "c0de", run)
    assert of["name"] == f"gain of the run {CONTROL.run_id}" and "-control-" in of["name"]
    assert run_of(of) == CONTROL and identity.of_measured(of) == run


def test_the_job_that_measures_control_says_so(tmp_path, monkeypatch):
    control_run(tmp_path, CONTROL, seed=0)
    jobs = []
    monkeypatch.setattr(measuring, "Progress", lambda job, *_: jobs.append(job) or stop())

    def stop():
        raise KeyboardInterrupt

    files = tmp_path / "windows", tmp_path / "checkpoints.h5", tmp_path / "m.h5"
    with pytest.raises(KeyboardInterrupt):
        measure_run("gain", {"checkpoints": "all"}, CONTROL, *files, wanted=None, device=CPU)
    assert jobs == [f"measure_run gain {CONTROL.run_id}"]


def by_hand(folder, replay, checkpoints, output, *options, metric="singular_values"):
    """`td-interference measure` in a project whose configuration names the smoke scale."""
    (folder / "config.yaml").write_text(
        "scale: smoke\ndevice: cpu\nmetrics: {sign_variance: {window: 3}}\n"
    )
    if not (folder / "workflow").exists():
        (folder / "workflow").symlink_to(ROOT / "workflow")
    files = ["--checkpoints", checkpoints, "--replay", replay, "--output", output]
    arguments = ["measure", metric, *files, "--directory", folder, *options]
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_measuring_by_hand_compares_and_says_what_it_measured(results, tmp_path):
    checkpoints, output = results / "runs" / RUN.run_id / "checkpoints.h5", tmp_path / "m.h5"
    replays = [results / "replay" / f"ms_pacman-seed{seed}.h5" for seed in (0, 1)]
    error = by_hand(tmp_path, replays[1], checkpoints, output).exception
    assert isinstance(error, UserError) and not output.exists()
    said = str(error)
    assert said.startswith(f"{replays[1]}: is of D* of ms_pacman, seed 1 (replay.seed 1, sha256 ")
    assert "but D* of ms_pacman, seed 0 (replay.seed 0, sha256 " in said
    done = by_hand(tmp_path, replays[0], checkpoints, output)
    assert done.exit_code == 0, done.output
    with hdf5.opened(output) as file:
        found = attributes.identity_of(file)
    digests = [seal.sealed_digest(path) for path in (checkpoints, replays[0])]
    assert found["made_from"] == {"checkpoints": digests[0], "replay": digests[1]}
    # As the workflow would write it.
    plan = make_plan({"scale": "smoke", "device": "cpu"}, ROOT / "workflow")
    code = Lineage(plan, ROOT / "workflow" / "scripts").metric_code("singular_values", RUN)
    settings = plan.metric_settings("singular_values")
    wanted = identity.of_measurement("singular_values", settings, code, of_run())
    hdf5.read(output, kinds.MEASUREMENTS["singular_values"], wanted)


@pytest.mark.parametrize(
    ("scale", "expected"), [([], "smoke"), (["--scale", "paper"], "paper")], ids=["config", "asked"]
)
def test_measuring_by_hand_goes_by_the_scale_of_the_configuration(
    results, tmp_path, monkeypatch, scale, expected
):
    asked = []
    monkeypatch.setattr(measuring, "measure_run", lambda *args, **_: asked.append(args[1]))
    checkpoints, replay = results / "runs" / RUN.run_id / "checkpoints.h5", results / "replay"
    files = replay / "ms_pacman-seed0.h5", checkpoints, tmp_path / "m.h5"
    assert by_hand(tmp_path, *files, *scale, metric="sign_variance").exit_code == 0
    plan = make_plan({"scale": expected, "device": "cpu"}, ROOT / "workflow")
    assert asked == [{**plan.metric_settings("sign_variance"), "window": 3}]


def test_checkpoints_of_several_runs_are_not_merged(results, tmp_path):
    other = results / "runs" / dataclasses.replace(RUN, lambda_=1.0).run_id / "checkpoints.h5"
    refusal(lambda: merge_checkpoints(tmp_path / "m.h5", [other], of_run()), other, "run.lambda_ 1")
    assert not (tmp_path / "m.h5").exists()


def test_a_data_set_under_the_name_of_another_is_refused(tmp_path):
    folder = tmp_path / "results" / "smoke" / "datasets"
    prepare_dataset("digits", {}, folder / "svhn.h5")
    prepare_dataset("diabetes", {}, folder / "california.h5")
    groups = measured_groups.measured_groups()
    images = dataclasses.replace(groups[0].group.cells[0], dataset="svhn")
    agents = next(group.group for group in groups if group.group.cells[0].agent)
    agent = dataclasses.replace(agents.cells[0], dataset="svhn")
    features = next(g.group for g in groups if g.group.cells[0].task == "regression")
    feature = dataclasses.replace(features.cells[0], dataset="california")
    for cell, name in ((images, "svhn"), (agent, "svhn"), (feature, "california")):
        path, found = folder / f"{name}.h5", "digits" if name == "svhn" else "diabetes"
        words = f"the data set {found} (", f"the data set {name} ("
        refusal(lambda path=path, cell=cell: make_training([cell], path, CPU), path, *words)
    read_task([dataclasses.replace(images, dataset="digits")], folder / "svhn.h5", CPU)


def test_groups_and_studies_are_told_apart(tmp_path):
    group, arrays, _ = measured_groups.measured_groups(["images"])[0]
    cells = [cell.to_dict() for cell in group.cells]
    path = tmp_path / "results" / "smoke" / "metrics" / "generalization" / "g.h5"
    hdf5.write(path, kinds.GENERALIZATION, arrays, identity.of_group(group.run_id, cells))
    for over in ({"updates": 40}, {"n_train": 21}, {"seeds": [0]}, {"learning_rate": 0.1}):
        wanted = identity.of_group(group.run_id, [{**cells[0], **over}])
        ((name, value),) = over.items()
        read = kinds.GENERALIZATION, wanted
        refusal(lambda read=read: hdf5.read(path, *read), path, f"cells.0.{name} ", str(value))
    study = Study(networks=2, samples=2, checked_networks=2, checked_samples=2)
    path = tmp_path / "results" / "smoke" / "metrics" / "random_networks" / "s.h5"
    arrays = {"change": np.ones((2, 2)), "step_size": np.ones(1), "relative_error": np.ones((2, 1))}
    hdf5.write(path, kinds.RANDOM_NETWORKS, arrays, identity.of_study(study, "c0de"))
    other = dataclasses.replace(study, seed=3)
    for wanted in (identity.of_study(other, "c0de"), identity.of_study(study, "edited")):
        read = kinds.RANDOM_NETWORKS, wanted
        refusal(lambda read=read: hdf5.read(path, *read), path, "the random networks mlp-h32")


@pytest.mark.parametrize(
    ("found", "differs"),
    [
        ({"settings": {"window": 4, "new": 1}}, "settings.new 1"),  # of a version with more
        ({"settings": {}}, "settings.window not told"),
        ({"settings": 4}, "settings 4"),
        ({}, "settings not told"),
        ([], "settings not told"),
    ],
)
def test_settings_agree_as_a_whole(found, differs):
    wanted = {"name": "it", "settings": {"window": 4}}
    identity.check("x.h5", {**wanted, "made_from": {"other": "1"}, "more": 1}, wanted)
    with pytest.raises(UserError, match=re.escape(f"({differs}), but it (")):
        identity.check("x.h5", found, wanted)


def test_a_file_that_does_not_tell_is_refused(tmp_path):
    path = tmp_path / "results" / "smoke" / "replay" / "ms_pacman-seed0.h5"
    hdf5.write(path, kinds.REPLAY, replay_arrays(), {})
    read = kinds.REPLAY, REPLAY
    refusal(lambda: hdf5.read(path, *read), path, "something that it does not tell", "not told")


def test_an_own_objective_counts_by_content_wherever_it_lies(tmp_path):
    files = [tmp_path / folder / "half_way.py" for folder in ("a", "b")]
    runs = []
    for file in files:
        file.parent.mkdir()
        file.write_text("class Objective: pass\n")
        runs.append(
            dataclasses.replace(RUN, objective="half_way", lambda_=None, objective_file=str(file))
        )
    here, there = map(of_run, runs)
    assert here == there and str(tmp_path) not in str(here)
    assert run_of(here, [str(files[1])]) == runs[1]
    files[1].write_text("class Objective:\n    bootstraps = True\n")
    path = tmp_path / "results" / "smoke" / "runs" / "r" / "checkpoints.h5"
    weights = {"w": torch.ones(2)}
    write_checkpoint(path, Checkpoint(4, weights, weights, {}), here)
    wanted = of_run(runs[1])
    schema = kinds.CHECKPOINTS
    refusal(lambda: hdf5.read(path, schema, wanted), path, "objective_sha256")


def test_nothing_of_the_machine_is_in_an_identity():
    """The same wherever the project lies, and for whichever device, interval and scratch."""
    plans = [
        make_plan({"scale": "smoke", **machine}, folder)
        for machine, folder in (
            ({"device": "cpu", "resume_interval": 5, "shared_replay": False}, ROOT / "workflow"),
            ({"shared_replay": True}, ROOT / "tests" / ".." / "workflow"),
        )
    ]
    lineages = [Lineage(plan, ROOT / "workflow" / "scripts") for plan in plans]
    for name in (
        "gain_by_optimizer",
        "random_networks_summary",
        "gap_by_size",
        "parameterizations",
    ):
        assert lineages[0].table(name) == lineages[1].table(name)
        assert str(ROOT) not in str(lineages[0].table(name))


@pytest.mark.parametrize(
    ("over", "changes"),
    [
        ({"statistics": {"confidence": 0.9}}, True),
        ({"environment": {"gamma": 0.5}}, True),
        ({"training": {"loss": "squared"}}, True),
        ({"replay": {"epsilon": 0.2}}, True),
        ({"expert": {"minibatch": 16}}, True),
        ({"metrics": {"stiffness": {"anchors": 40}}}, True),
        ({"experiments": {"td_lambda": {"n_seeds": 3}}}, True),
        ({"metrics": {"gain": {"minibatches": 3}}}, False),
        ({"resume_interval": 5}, False),
        ({"shared_replay": True}, False),
        ({"experiments": {"regression": {"n_seeds": 3}}}, False),
    ],
)
def test_a_table_is_of_all_settings_that_decide_it(over, changes):
    def table(**settings):
        plan = make_plan({"scale": "smoke", "device": "cpu", **settings}, ROOT / "workflow")
        return Lineage(plan, ROOT / "workflow" / "scripts").table("stiffness_by_lambda")

    assert (table() != table(**over)) == changes


def test_checkpoints_can_be_read_by_hand_whatever_they_are_of(results):
    path = results / "runs" / RUN.run_id / "checkpoints.h5"
    assert read_checkpoint(path, 4).update_step == 4
    with hdf5.opened(path) as file:
        assert attributes.identity_of(file)["name"] == f"the run {RUN.run_id}"
