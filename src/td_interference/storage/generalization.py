"""The kind of HDF5 file that holds the measured runs of the generalization experiments."""

from td_interference.storage.file_kind import Field, FileKind

_LONGEST_NAME = "S160"  # characters; names are ASCII


def _rows(dtype: str, unit: str, description: str) -> Field:
    return Field(dtype, ("row",), unit, description)


def _pair_means() -> dict[str, Field]:
    """Describe the means over pairs of gradients, within and between train and test samples."""
    described = {
        ("function", "interference"): ("squared f", "mean of grad f(u) . grad f(v)"),
        ("function", "stiffness"): ("cosine", "mean cosine of grad f(u) and grad f(v)"),
        ("loss", "interference"): ("squared loss", "mean of grad J(u) . grad J(v)"),
        ("loss", "stiffness"): ("cosine", "mean cosine of grad J(u) and grad J(v)"),
    }
    order = [(of, kind) for of in ("function", "loss") for kind in ("interference", "stiffness")]
    return {
        f"{of}_{kind}_{pair}": _rows(
            "float64",
            described[of, kind][0],
            f"{described[of, kind][1]}, u != v, {pair.replace('_', ' with ')}",
        )
        for of, kind in order
        for pair in ("train_train", "train_test", "test_test")
    }


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
        **_pair_means(),
    },
)
