"""What is said of a wrong card, and that what is made from cards is what they say."""

import dataclasses
import shutil
from functools import partial

import pytest
from tree import ROOT

from td_interference import figures, metrics, tables
from td_interference.errors import UserError
from td_interference.planning import cards, config, sources
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
    return cards.read(
        "metrics", "METRIC", metrics.MetricCard, "measure", metrics.VariantCard, folder
    )


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
    (f"METRIC = {GOOD!r}\n", "METRIC needs a function 'measure' beside it"),
    ("METRIC = {'variant_of': 'gain'}\n", "METRIC, field 'about': is missing"),
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
    (tmp_path / "metrics" / "mine.py").write_text(f"METRIC = {GOOD!r}\ndef measure(): ...\n")
    found = cards.read("metrics", "METRIC", metrics.MetricCard, "measure", None, tmp_path)
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


def test_the_paper_is_measured_as_the_cards_say():
    """Its scale names no settings of metrics, and what another scale leaves out is the paper's."""
    assert config.complete({"scale": "paper"}, WORKFLOW)["metrics"] == metrics.defaults()
    schema = config.read_schema(WORKFLOW)["properties"]["metrics"]
    for name, values in metrics.defaults().items():
        config.validate(values, schema["properties"][name])


FIGURE = {"name": "fig99", "tables": ["gain_by_lambda"], "caption": "Gain at S_{t+x}. {lines}"}


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({**FIGURE, "caption": "{line}"}, "field 'caption': '{line}' stands for nothing; known"),
        ({**FIGURE, "title": "{scale} {game}"}, "field 'title': '{game}' stands for nothing"),
        ({**FIGURE, "title": "{confidence:.0%} {nothing:d}"}, "'{nothing}' stands for nothing"),
        ({**FIGURE, "name": "fig-99"}, "field 'name': string should match pattern"),
        ({"name": "fig99"}, "field 'caption': is missing (what the report"),
        ({"name": "fig99", "caption": "x"}, "FIGURE: draws no table: name some in 'tables', or"),
        (
            {**FIGURE, "means": {"mine": {"metric": "gain", "feild": "gain"}}},
            "field 'means.mine.feild': is unknown; did you mean 'field'",
        ),
        (
            {**FIGURE, "means": {"mine": {"metric": "gain", "experiments": []}}},
            "field 'means.mine': needs either a 'field' or 'parts'",
        ),
        (None, "FIGURE is missing: a file with a function 'plot'"),
    ],
)
def test_a_wrong_card_of_a_figure_is_refused(tmp_path, card, said):
    (tmp_path / "figures").mkdir()
    text = "def plot(): ...\n" if card is None else f"FIGURE = {card!r}\n"
    (tmp_path / "figures" / "mine.py").write_text(text)
    with pytest.raises(UserError) as refused:
        cards.read("figures", "FIGURE", figures.FigureCard, "plot", None, tmp_path)
    assert said in str(refused.value) and "mine.py" in str(refused.value)


def test_captions_have_the_fragments_that_they_share():
    card = figures.FigureCard.model_validate(FIGURE)
    assert card.caption == f"Gain at S_{{t+x}}. {figures.FRAGMENTS['lines']}"
    assert figures.FRAGMENTS["of_a_mean"] in figures.FRAGMENTS["lines"]


def test_two_figures_of_one_name_are_refused(monkeypatch):
    card = figures.FigureCard.model_validate(FIGURE)
    monkeypatch.setattr(figures, "cards", lambda: {"one": card, "two": card})
    with pytest.raises(UserError, match=r"two\.py: FIGURE, field 'name': one\.py has 'fig99' alr"):
        figures._entries()


SOURCE = {"experiment": "td_lambda", "metric": "gain"}


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"mine": [{**SOURCE, "optimiser": []}]}, "'mine.0.optimiser': is unknown; did you mean"),
        ({"mine": [{"metric": "gain"}]}, "'mine.0.experiment': is missing (a key of the"),
        ({"another": [SOURCE]}, "TABLES, field 'another': needs a function of that name"),
        ({"gain_by_lambda": [SOURCE]}, "'gain_by_lambda': fig11_gain_by_lambda.py has a table of"),
    ],
)
def test_a_wrong_card_of_tables_is_refused(tmp_path, monkeypatch, card, said):
    refuse_tables(tmp_path, monkeypatch, f"TABLES = {card!r}\ndef mine(): ...\n", said)


PLAIN = {"metric": "gain", "field": "gain", "experiments": ["td_lambda"]}


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"metric": "gian"}, "MEANS, field 'mine': 'gian' is no metric; did you mean 'gain'"),
        ({"field": "gains"}, "field 'mine': 'gains' is no field of gain; did you mean 'gain'"),
        ({"parts": {"x": {"field": "gain"}}}, "'mine': needs either a 'field' or 'parts'"),
        ({"by": ["lamda"]}, "field 'mine.by.0': input should be 'experiment', 'lambda'"),
        ({"checkpoints": "all", "over": [[0, 1]]}, "'mine': of all checkpoints, a field keeps"),
    ],
)
def test_a_wrong_description_of_means_is_refused(tmp_path, monkeypatch, over, said):
    refuse_tables(tmp_path, monkeypatch, f"MEANS = { ({'mine': {**PLAIN, **over}})!r}\n", said)


def refuse_tables(tmp_path, monkeypatch, text, said):
    shutil.copytree(cards.PACKAGE / "tables", tmp_path / "tables")
    path = tmp_path / "tables" / "mine.py"
    path.write_text(text)
    for module in (cards, tables):
        monkeypatch.setattr(module, "PACKAGE", tmp_path)
    monkeypatch.setattr(tables, "read", partial(cards.read, package=tmp_path))
    with pytest.raises(UserError) as refused:
        tables._entries()
    line = str(refused.value)
    assert said in line and str(path) in line and "\n" not in line


def test_words_of_cards_for_people_make_nothing_stale():
    """What captions and settings say reaches results as parameters; a field's dtype does not."""

    def digest(word, card, rest="x = 1\n"):
        return sources.Parsed(f"{word} = {card!r}\n{rest}".encode()).digest

    assert digest("FIGURE", FIGURE) == digest("FIGURE", {**FIGURE, "caption": "another"})
    assert digest("FIGURE", FIGURE) != digest("FIGURE", FIGURE, "x = 2\n")
    assert digest("METRIC", GOOD) == digest("METRIC", {**GOOD, "title": "b", "settings": {}})
    for path, value in (("version", 2), ("fields.value.dtype", "float64"), ("fields.value", None)):
        text = changed(path, value) + "x = 1\n"
        assert sources.Parsed(text.encode()).digest != digest("METRIC", GOOD), path
    text = changed("fields.value.description", "z") + "x = 1\n"
    assert sources.Parsed(text.encode()).digest == digest("METRIC", GOOD)
    assert digest("OTHER", GOOD) != digest("OTHER", {**GOOD, "title": "b"})
