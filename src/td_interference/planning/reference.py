"""The page of reference docs/settings.md: what the records say of their settings.

`python -m td_interference.planning.reference` prints it.
"""

from typing import Any

from td_interference.planning import learners
from td_interference.planning.cells import CellSpec
from td_interference.planning.control import ControlSettings
from td_interference.planning.expert import ExpertSettings
from td_interference.planning.grid import RunSpec
from td_interference.planning.replay import Environment, ReplaySpec
from td_interference.planning.settings import own_settings, shown
from td_interference.planning.studies import Study

_EXPERIMENT = "generalization.experiments.<name>"
_BLOCKS: dict[str, Any] = {
    "environment": Environment,
    "replay": ReplaySpec,
    "training` and `experiments.<name>": RunSpec,
    "expert": ExpertSettings,
    "control": ControlSettings,
    "random_networks": Study,
    _EXPERIMENT: CellSpec,
    **{
        f"{_EXPERIMENT}.agent` of `{name}": learners.settings_record(name)
        for name, card in learners.known().items()
        if card.acts
    },
}
_HEAD = """# Settings

What may stand in these blocks of the configuration, beside the lists that a grid is made of. The
defaults hold where neither a scale nor you set a key; keys without one must be set. They are from
*paper*, Bengio et al. (2020); *code*, its authors' code; *DER*, data-efficient Rainbow (van Hasselt
et al. 2019); *Rainbow*, Hessel et al. (2018); where none of them says, they are choices of *ours*.
What the keys of the other blocks mean and may be is in `workflow/schemas/config.schema.yaml`.
"""
_COLUMNS = "| key | default | what it is | may be | from |\n| --- | --- | --- | --- | --- |\n"
_WORDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def page() -> str:
    """Return the page in Markdown."""
    return "\n".join([_HEAD, *(_section(key, record) for key, record in _BLOCKS.items())])


def _section(key: str, record: Any) -> str:
    rows = [
        f"| `{field.name}` | {shown(field.default)} | {field.metadata['meaning']} "
        f"| {_range(field.metadata['rules'])} | {field.metadata['source']} |\n"
        for field in own_settings(record)
    ]
    return f"## `{key}`\n\n{_COLUMNS}{''.join(rows)}"


def _range(rules: dict[str, Any]) -> str:
    bounds = [f"{word} {rules[rule]}" for rule, word in _WORDS.items() if rule in rules]
    return ", ".join([*bounds, *rules.get("enum", ())])


if __name__ == "__main__":
    print(page(), end="")
