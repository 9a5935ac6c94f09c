"""The descriptions of studies: round trips, ids, and what makes no sense."""

import json

import pytest

from td_interference.errors import UserError
from td_interference.planning.studies import Study, expand_studies

SHARED = {"step_sizes": [1e-5, 1e-4], "checked_networks": 2, "checked_samples": 3}
MLP = {"network": "mlp", "hidden": 4, "normal": "delta", "networks": 5, "samples": 6}


def test_a_study_survives_being_written_down():
    study = Study(network="q", hidden=2, seed=3, step_sizes=(1e-6, 2.5e-4))
    assert Study.from_dict(json.loads(json.dumps(study.to_dict()))) == study
    assert study.run_id == "q-h2-delta-seed3"


def test_studies_of_a_configuration():
    studies = expand_studies({"studies": [MLP, {**MLP, "normal": "target"}], **SHARED})
    assert list(studies) == ["mlp-h4-delta-seed0", "mlp-h4-target-seed0"]
    expected = Study("mlp", 4, "target", 5, 6, 0, (1e-5, 1e-4), 2, 3)
    assert studies["mlp-h4-target-seed0"] == expected


def test_a_study_of_its_own_may_set_what_others_share():
    studies = expand_studies({"studies": [{**MLP, "checked_samples": 2}], **SHARED})
    assert studies["mlp-h4-delta-seed0"].checked_samples == 2


def test_two_studies_of_one_id_are_refused():
    with pytest.raises(UserError, match="mlp-h4-delta-seed0 stands there twice"):
        expand_studies({"studies": [MLP, {**MLP, "samples": 7}], **SHARED})


def test_streams_know_the_seed_and_the_number_alone():
    assert Study(hidden=2, samples=3).stream(4) == Study(network="q").stream(4)
    streams = {Study(seed=seed).stream(number) for seed in (0, 1) for number in (0, 1)}
    assert len(streams) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"network": "rnn"}, "network': 'rnn' is not one of mlp"),
        ({"normal": "loss"}, "normal': 'loss' is not one of delta, target"),
        ({"hidden": 0}, "hidden': 0 must be at least 1"),
        ({"networks": 1}, "networks': 1 must be at least 2"),
        ({"samples": 1}, "samples': 1 must be at least 2"),
        ({"seed": -1}, "seed': -1 must be at least 0"),
        ({"checked_samples": 1}, "checked_samples': 1 must be at least 2"),
        ({"checked_networks": 1}, "checked_networks': 1 must be at least 2"),
        ({"networks": 3, "checked_networks": 4}, "at most the 3 networks"),
        ({"step_sizes": ()}, "step_sizes"),
        ({"step_sizes": (1e-3, 1e-4)}, "ascending"),
        ({"step_sizes": (1e-4, 1e-4)}, "ascending"),
        ({"step_sizes": (0.0, 1e-4)}, "above 0"),
        ({"step_sizes": (1e-4, float("inf"))}, "step_sizes"),
    ],
)
def test_nonsense_is_refused_in_one_line(fields, message):
    with pytest.raises(UserError, match=message) as error:
        Study(**fields)
    assert str(error.value).startswith("config key 'random_networks.")
    assert "\n" not in str(error.value)
