"""Every kind of HDF5 file: the names in it, their dtypes, shapes, units, and schema versions."""

from collections.abc import Mapping
from typing import NamedTuple

from td_interference import metrics


class Field(NamedTuple):
    """One data set: its dtype, the name of each dimension (or its fixed size), unit, meaning."""

    dtype: str
    dimensions: tuple[str | int, ...]
    unit: str
    description: str
    may_lack: bool = False  # NaN where there is nothing to measure; elsewhere NaN is an overflow


class FileKind(NamedTuple):
    """One kind of file."""

    name: str
    version: int
    title: str
    fields: Mapping[str, Field]


_GAME_SCORE = "game score"

REPLAY = FileKind(
    "replay",
    3,
    "D*: whole episodes of an expert, one row per agent step in the order of play",
    {
        "frames": Field(
            "uint8",
            ("frame", 84, 84),
            "pixel intensity, 0..255",
            "Each screen once; an episode of L steps has L + 1 frames, and the observation of its "
            "step t is the stack of its frames t-3 .. t (black before the first).",
        ),
        "action": Field("uint8", ("transition",), "index", "into the game's minimal action set"),
        "reward": Field("float32", ("transition",), "sign of score", "raw_reward clipped by sign"),
        "raw_reward": Field("float32", ("transition",), _GAME_SCORE, "score gained in the step"),
        "terminated": Field("bool", ("transition",), "", "the game was over after the step"),
        "truncated": Field("bool", ("transition",), "", "the recording was cut after the step"),
        "monte_carlo_return": Field(
            "float32", ("transition",), "discounted reward", "clipped rewards to the episode's end"
        ),
        "expert_q": Field(
            "float32",
            ("transition", "action"),
            "discounted reward",
            "Q*(s, .), the expert's expected value of each action",
        ),
        "episode_start": Field("int64", ("episode",), "transition", "first row of each episode"),
        "episode_length": Field("int64", ("episode",), "agent steps", "rows of each episode"),
        "episode_score": Field(
            "float32", ("episode",), _GAME_SCORE, "undiscounted sum of raw_reward"
        ),
    },
)


def _split(
    name: str, dimensions: tuple[str | int, ...], dtype: str, unit: str, meaning: str
) -> dict[str, Field]:
    return {
        f"{split}_{name}": Field(dtype, (split, *dimensions), unit, f"{meaning}, {split} samples")
        for split in ("train", "test")
    }


IMAGES = FileKind(
    "images",
    2,
    "Images with the class of each, one row per sample; its index is the environment's seed",
    {
        **_split("images", (3, 32, 32), "uint8", "intensity, 0..255", "red, green, blue planes"),
        **_split("labels", (), "int64", "index, 0..9", "class"),
    },
)

REGRESSION = FileKind(
    "regression",
    2,
    "Features with the targets to predict from them, one row per sample",
    {
        **_split("features", ("feature",), "float32", "the data set's own", "inputs"),
        **_split("targets", ("target",), "float32", "the data set's own", "outputs"),
    },
)

CHECKPOINTS = FileKind(
    "checkpoints",
    3,
    "States of one training run; a group per update step",
    {"update_step": Field("int64", ("checkpoint",), "updates", "step after which it was taken")},
)


_UPDATE_STEP = Field("int64", ("checkpoint",), "updates", "update step of each checkpoint")


def _measurement(name: str, card: metrics.MetricCard) -> FileKind:
    fields = {"update_step": _UPDATE_STEP}
    for field, said in card.fields.items():
        # A dimension's own coordinate is the same at all checkpoints.
        dimensions = said.dimensions
        if dimensions != (field,):
            dimensions = ("checkpoint", *dimensions)
        fields[field] = Field(said.dtype, dimensions, said.unit, said.description, said.may_lack)
    return FileKind(name, card.version, f"{card.title} ({card.source})", fields)


MEASUREMENTS = {
    entry.name: _measurement(entry.name, entry.card)
    for entry in metrics.METRICS
    if entry.name == entry.module
}

RANDOM_NETWORKS = FileKind(
    "random_networks",
    2,
    "ρ' of randomly initialised networks, and eq. 36 against real steps (paper, section 6)",
    {
        "change": Field(
            "float64",
            ("network", "pair"),
            "1",
            "ρ'_AB = dρ_AB/dα at α = 0 of all ordered pairs A ≠ B of a network's samples, row by "
            "row of A",
        ),
        "step_size": Field("float64", ("step_size",), "learning rate", "α of the steps taken"),
        "relative_error": Field(
            "float64",
            ("draw", "step_size"),
            "1",
            "|(ρ(θ - α ∇J_B) - ρ(θ)) / α - ρ'| / |ρ'|, Frobenius norms over all pairs; the draws "
            "are the first networks",
        ),
    },
)

_LONGEST_NAME = "S160"  # characters; names are ASCII


def _rows(dtype: str, unit: str, description: str) -> Field:
    return Field(dtype, ("row",), unit, description)


_PAIR_MEANS = (
    ("function", "interference", "squared f", "mean of grad f(u) . grad f(v)"),
    ("function", "stiffness", "cosine", "mean cosine of grad f(u) and grad f(v)"),
    ("loss", "interference", "squared loss", "mean of grad J(u) . grad J(v)"),
    ("loss", "stiffness", "cosine", "mean cosine of grad J(u) and grad J(v)"),
)

GENERALIZATION = FileKind(
    "generalization",
    3,
    "Runs of one group of cells at their measured steps, a row for each (paper, section 4)",
    {
        "run_id": _rows(_LONGEST_NAME, "", "of the run and its random streams"),
        "cell_id": _rows(_LONGEST_NAME, "", "of the cell, whose runs differ in seed alone"),
        "dataset": _rows(_LONGEST_NAME, "", "learned from"),
        "task": _rows(_LONGEST_NAME, "", "classification, regression, double_dqn or reinforce"),
        "hidden": _rows("int64", "", "width n_h"),
        "extra_layers": _rows("int64", "layers", "n_L"),
        "n_train": _rows("int64", "samples", "n_T: training samples, or images of the agent"),
        "seed": _rows("int64", "", "index of the repetition"),
        "update_step": _rows("int64", "updates", "done before the measurement"),
        "agent_step": _rows("int64", "agent steps", "done before it; 0 for supervised learning"),
        "diverged": _rows("bool", "", "a loss or output was not finite; all that follows is NaN"),
        "train_loss": _rows(
            "float64", "nats, or squared target", "cross entropy, squared error or agent's loss"
        ),
        "test_loss": _rows("float64", "nats, or squared target", "the same of test samples"),
        "train_performance": _rows(
            "float64",
            "accuracy, error per variance, or reward",
            "accuracy in 0..1, squared error / variance of the output, or undiscounted reward of "
            "an episode",
        ),
        "test_performance": _rows(
            "float64", "accuracy, error per variance, or reward", "the same of test samples"
        ),
        "generalization_gap": _rows(
            "float64", "performance", "how much worse test samples fare; larger is worse"
        ),
        **{
            f"{of}_{kind}_{pair}": _rows(
                "float64", unit, f"{meaning}, u != v, {pair.replace('_', ' with ')}"
            )
            for of, kind, unit, meaning in _PAIR_MEANS
            for pair in ("train_train", "train_test", "test_test")
        },
    },
)

FILE_KINDS = {
    kind.name: kind
    for kind in (
        REPLAY,
        IMAGES,
        REGRESSION,
        CHECKPOINTS,
        *MEASUREMENTS.values(),
        RANDOM_NETWORKS,
        GENERALIZATION,
    )
}
