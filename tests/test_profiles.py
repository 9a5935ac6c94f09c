"""The profiles and the examples for them: what is commented out works where it stands."""

import re
from pathlib import Path
from types import SimpleNamespace

import forked
import pytest
import yaml
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra
from tree import copy_tree

ROOT = Path(__file__).parents[1]
PROFILE = ROOT / "workflow" / "profiles" / "slurm" / "config.yaml"
COMMENTED = re.compile(r"^( *)# ([a-z_]+: \S.*)$", re.MULTILINE)
# Of a dry run; what is submitted together stands further in.
JOB = re.compile(r"^ *rule (\w+):\n(?:(?! *\w*rule ).*\n)*? +resources: (.*)$", re.MULTILINE)
DOCS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "slurm.md").read_text(), re.DOTALL)
TARGETS = ["results/fig5.pdf", "results/fig14.pdf", "results/fig1.pdf"]
CONFIG = ["scale=smoke", "device=cuda"]
NETWORKS = {"train_expert", "train_run", "train_control", "train_group", "measure_run"}


class NoRepeatedKeys(yaml.SafeLoader):
    """A loader for which a repeated key is an error, as it is for whoever wrote it."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key stands twice in {keys}"
        return super().construct_mapping(node, deep)


class Resources(SimpleNamespace):
    """A job's resources as the plugin sees them."""

    def get(self, name, default=None):
        return getattr(self, name, default)


def planned(profile_text, tmp_path):
    """Resources of each rule's jobs with this profile, of a plan on GPUs."""
    project = tmp_path / "project"
    copy_tree(project)
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "config.yaml").write_text(profile_text)
    done = forked.snakemake(
        ["-n", "--profile", profile, "--config", *CONFIG, "--", *TARGETS], project
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    jobs = JOB.findall(done.stdout)
    resources = {}
    for rule, text in jobs:
        pairs = (pair.partition("=") for pair in text.split(", "))
        job = {name: int(value) if value.isdigit() else value for name, _, value in pairs}
        resources.setdefault(rule, []).append(Resources(**job))
    assert resources.keys() >= NETWORKS | {"collect_replay", "make_figure"}
    return resources


def submission(resources):
    """The call of sbatch that the plugin makes of a job, after its own checks."""
    job = SimpleNamespace(resources=resources, threads=1, name="job", is_group=lambda: False)
    validate_slurm_extra(job)
    fixed = {
        "run_uuid": "u",
        "slurm_logfile": "l",
        "comment_str": "c",
        "account": "",
        "workdir": "",
    }
    call = get_submit_command(job, {**fixed, "partition": f"-p {resources.slurm_partition}"})
    return call + set_gres_string(job)


def test_every_commented_line_of_the_profile_works_where_it_stands(tmp_path):
    text = PROFILE.read_text()
    examples = [line for _, line in COMMENTED.findall(text)]
    assert any(line.startswith("train_run:") for line in examples) and len(examples) >= 6
    uncommented = COMMENTED.sub(r"\1\2", text)
    yaml.load(uncommented, NoRepeatedKeys)
    jobs = planned(uncommented, tmp_path)
    for rule in NETWORKS:
        for resources in jobs[rule]:
            call = submission(resources)
            assert "-p gpu" in call and "-C a100" in call and "--gpus=1" in call, (rule, call)
    assert {job.one_at_a_time for job in jobs["measure_run"]} == {1}
    assert {job.runtime for job in jobs["train_control"]} == {2880}
    for rule in ("collect_replay", "make_figure"):
        for resources in jobs[rule]:
            call = submission(resources)
            assert "-p cpu" in call and "gpu" not in call and "-C" not in call, (rule, call)


@pytest.mark.parametrize("example", DOCS, ids=lambda text: text.split()[1].rstrip(":"))
def test_every_profile_in_the_docs_works_within_the_profile_of_the_project(example, tmp_path):
    """A block's lines are put below the same key of the profile, which has each key once."""
    profile, added = yaml.safe_load(PROFILE.read_text()), yaml.load(example, NoRepeatedKeys)
    for key, values in added.items():
        profile[key] |= values
    profile["default-resources"] |= {"slurm_partition": "cpu"}
    jobs = planned(yaml.safe_dump(profile), tmp_path)
    for rule, resources in added["set-resources"].items():
        for job in jobs[rule]:
            assert resources.items() <= vars(job).items()
            assert submission(job)


def test_the_profile_has_each_key_once():
    yaml.load(PROFILE.read_text(), NoRepeatedKeys)
    with pytest.raises(AssertionError, match="stands twice"):
        yaml.load("a: {b: 1}\nc: 2\na: 3", NoRepeatedKeys)


def test_the_plugin_refuses_what_the_profile_no_longer_names():
    """If this stops holding, `constraint` and `slurm_extra` are both right again."""
    resources = Resources(slurm_extra="'--constraint=a100'", slurm_partition="gpu")
    with pytest.raises(Exception, match="node constraints"):
        submission(resources)
