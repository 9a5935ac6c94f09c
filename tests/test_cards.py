"""What is said of a wrong card, and that what is made from cards is what they say."""

import dataclasses

import pytest
from tree import ROOT

from td_interference import metrics
from td_interference.errors import UserError
from td_interference.planning import cards, config
from td_interference.storage import kinds

WORKFLOW = ROOT / "workflow"
GOOD = {
    "title": "Number of something",
    "source": "nowhere",
    "about": "something",
    "version": 1,
    "checkpoints": "last",
    "fields": {
        "position": {"dtype": "int64", "dimensions": ["position"], "unit": "", "description": "x"},
        "value": {"dtype": "float32", "dimensions": ["position"], "unit": "1", "description": "y"},
    },
    "settings": {"samples": {"type": "integer", "default": 3, "description": "to draw"}},
}


def read(folder, text):
    (folder / "metrics").mkdir()
    (folder / "metrics" / "mine.py").write_text(text)
    return cards.read("metrics", "METRIC", metrics.MetricCard, "measure", folder)


def changed(path, value=None):
    """The good card with another value at a dotted path; None to leave it out."""
    card = {**GOOD, "fields": {**GOOD["fields"], "value": dict(GOOD["fields"]["value"])}}
    *above, last = path.split(".")
    place = card
    for step in above:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return f"METRIC = {card!r}\n"


WRONG = [
    (
        "def measure(subject, settings): ...\n",
        "METRIC is missing: a file with a function",
    ),
    (changed("version"), "METRIC, field 'version': is missing (of its files; higher wherever"),
    (changed("version", "two"), "METRIC, field 'version': input should be a valid integer"),
    (changed("colour", 1), "METRIC, field 'colour': is unknown; known: title, source"),
    (changed("fields.value.dtyp", "int8"), "'fields.value.dtyp': is unknown; did you mean 'dtype'"),
    (changed("fields.value.unit"), "METRIC, field 'fields.value.unit': is missing ('1' for"),
    (changed("checkpoints", "first"), "'checkpoints': input should be 'all' or 'last'"),
    ("METRIC = [1]\n", "METRIC: input should be a valid dictionary"),
    ("METRIC = dict(version=1)\n", "line 1: METRIC is read without running the file"),
    ("METRIC = {'version': f'{1}'}\n", "line 1: METRIC is read without running the file"),
    ("METRIC = {\n", "line 1: is no Python"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_missing_or_wrong_card_is_refused_in_one_line(tmp_path, text, said):
    with pytest.raises(UserError) as refused:
        read(tmp_path, text)
    line = str(refused.value)
    assert said in line and "mine.py" in line and "\n" not in line


def test_a_good_card_is_read_and_a_file_without_one_is_no_entry(tmp_path):
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "helper.py").write_text("def measured(): ...\n")
    (tmp_path / "metrics" / "_draft.py").write_text("METRIC = 1\n")
    (tmp_path / "metrics" / "mine.py").write_text(f"METRIC = {GOOD!r}\n")
    found = cards.read("metrics", "METRIC", metrics.MetricCard, "measure", tmp_path)
    assert list(found) == ["mine"] and found["mine"].fields["value"].dimensions == ("position",)


def test_a_variant_is_of_a_metric_there_is(monkeypatch):
    card = metrics.VariantCard(variant_of="gian", about="x", checkpoints="all")
    found = {"gain": metrics.entry("gain").card, "mine": card}
    monkeypatch.setattr(metrics, "read", lambda *_: found)
    with pytest.raises(UserError, match=r"mine\.py: METRIC, field 'variant_of'.*mean 'gain'"):
        metrics._entries()


def test_a_kind_of_file_has_what_the_card_says_at_each_checkpoint():
    kind = kinds._measurement("mine", metrics.MetricCard.model_validate(GOOD))
    dimensions = {name: field.dimensions for name, field in kind.fields.items()}
    assert dimensions == {
        "update_step": ("checkpoint",),
        "position": ("position",),
        "value": ("checkpoint", "position"),
    }
    assert (kind.name, kind.version, kind.title) == ("mine", 1, "Number of something (nowhere)")


def test_measure_is_given_a_frozen_record_of_the_settings(monkeypatch):
    from td_interference.metrics import gain

    monkeypatch.setattr(gain, "measure", lambda subject, settings: settings)
    given = metrics.load("gain_over_training")(None, {"half_width": 2})
    assert (given.half_width, given.minibatches, given.checkpoints) == (2, 64, "all")
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.half_width = 3
    with pytest.raises(TypeError, match="half_with"):
        metrics.load("gain")(None, {"half_with": 2})


def test_the_paper_has_the_defaults_of_the_cards():
    """So its scale need not name them, and what a scale leaves out is as in the paper."""
    assert config.complete({"scale": "paper"}, WORKFLOW)["metrics"] == metrics.defaults()
    schema = config.read_schema(WORKFLOW)["properties"]["metrics"]
    for name, values in metrics.defaults().items():
        config.validate(values, schema["properties"][name])
