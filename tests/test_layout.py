"""Paths below results/: what is a result's place, and what to ask for to have it made."""

import pytest

from td_interference.errors import place_of
from td_interference.planning import layout
from td_interference.planning.layout import Result

WILDCARDS = {name: "ms_pacman" for name in ("game", "dataset", "metric", "table", "figure")}
WILDCARDS |= {"seed": "3", "update_step": "100", "run_id": "ms_pacman-q_learning-lr1e-05-h8-seed0"}


@pytest.mark.parametrize("result", Result)
def test_the_place_of_a_result_is_its_target(result, tmp_path):
    below = result.format(**WILDCARDS)
    place = place_of(tmp_path / "results" / "smoke" / below)
    target = below.partition("/window-")[0]  # all windows of a run are made at once
    assert place is not None and place.target == f"results/smoke/{target}"
    assert below.partition("/")[0] in layout.FOLDERS


@pytest.mark.parametrize(
    "below",
    [
        *(
            "runs/x/other.h5",
            "runs/x/windows/window-a.h5",
            "runs/x/y/checkpoints.h5",
            "figures/x.svg",
        ),
        *(
            "replay/Ms-seed1.h5",
            "replay/ms-seedx.h5",
            "tables/xxparquet",
            "logs/x/y.log",
            "runs",
            "",
        ),
    ],
)
def test_what_no_rule_makes_is_no_place(below, tmp_path):
    assert place_of(tmp_path / "results" / "smoke" / below) is None
