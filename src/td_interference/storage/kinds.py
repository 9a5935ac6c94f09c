"""Every kind of HDF5 file: the names in it, their dtypes, shapes, units, and schema versions."""

from collections.abc import Mapping

from td_interference.storage.generalization import GENERALIZATION
from td_interference.storage.table import Field, Table

_GAME_SCORE = "game score"

REPLAY = Table(
    "replay",
    2,
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


IMAGES = Table(
    "images",
    2,
    "Images with the class of each, one row per sample; its index is the environment's seed",
    {
        **_split("images", (3, 32, 32), "uint8", "intensity, 0..255", "red, green, blue planes"),
        **_split("labels", (), "int64", "index, 0..9", "class"),
    },
)

REGRESSION = Table(
    "regression",
    2,
    "Features with the targets to predict from them, one row per sample",
    {
        **_split("features", ("feature",), "float32", "the data set's own", "inputs"),
        **_split("targets", ("target",), "float32", "the data set's own", "outputs"),
    },
)

CHECKPOINTS = Table(
    "checkpoints",
    2,
    "States of one training run; a group per update step",
    {"update_step": Field("int64", ("checkpoint",), "updates", "step after which it was taken")},
)


def _measurement(name: str, title: str, fields: Mapping[str, Field], version: int = 2) -> Table:
    step = Field("int64", ("checkpoint",), "updates", "update step of each checkpoint")
    return Table(name, version, title, {"update_step": step, **fields})


_OFFSET = Field("int64", ("offset",), "agent steps", "distance in the trajectory, 0 = the sample")
_SEGMENT = Field(
    "int64", ("checkpoint", "segment"), "transition", "first anchor state of each segment"
)
_TRANSITION = Field("int64", ("checkpoint", "sample_a"), "transition", "row of D* of each sample")


def _pairs(description: str) -> Field:
    """Describe a matrix over pairs of samples (A, B) where the update is at B."""
    return Field("float32", ("checkpoint", "sample_a", "sample_b"), "1", description)


MEASUREMENTS = {
    "stiffness": _measurement(
        "stiffness",
        "Cosine between the loss gradients at S_t and S_{t+offset} (paper, figure 5)",
        {
            "offset": _OFFSET,
            "first_anchor": _SEGMENT,
            "cosine": Field(
                "float32",
                ("checkpoint", "segment", "anchor", "offset"),
                "cosine",
                "NaN across an episode's end and where a gradient is exactly 0; inf where the "
                "length of a gradient overflows",
                may_lack=True,
            ),
        },
        version=3,
    ),
    "gain": _measurement(
        "gain",
        "Pointwise loss before minus after one optimizer step (paper, figures 3, 4, 11)",
        {
            "offset": _OFFSET,
            "gain": Field(
                "float32",
                ("checkpoint", "minibatch", "sample", "offset"),
                "loss",
                "at S_{t+offset}, for each S_t of the minibatch; NaN across an episode's end",
                may_lack=True,
            ),
            "gain_unrelated": Field(
                "float32",
                ("checkpoint", "minibatch", "unrelated"),
                "loss",
                "at transitions drawn independently of the minibatch",
            ),
        },
    ),
    "singular_values": _measurement(
        "singular_values",
        "Singular values of the last hidden layer's weights, descending (paper, figures 12, 13)",
        {"singular_value": Field("float32", ("checkpoint", "index"), "1", "descending")},
    ),
    "sign_variance": _measurement(
        "sign_variance",
        "Variance of sign(TD error) in windows of consecutive steps (paper, section 5.2)",
        {
            "sign_variance": Field(
                "float32", ("checkpoint", "segment"), "1", "mean over the windows of a segment"
            ),
            "first_anchor": _SEGMENT,
        },
        version=3,
    ),
    "function_interference": _measurement(
        "function_interference",
        "Inner products of output gradients, grad f(u) . grad f(v), u != v (paper, eq. 8)",
        {
            "function_interference": Field(
                "float32",
                ("checkpoint", "sample"),
                "1",
                "mean over all v != u of one sample u; its mean is the mean over pairs",
            ),
            "squared_norm": Field("float32", ("checkpoint", "sample"), "1", "of grad f(u)"),
        },
    ),
    "second_order": _measurement(
        "second_order",
        "Terms of rho' = -r1 - r2 - r3, the change of interference (paper, eq. 16, 17, figure 7)",
        {
            "transition": _TRANSITION,
            "delta": Field(
                "float32", ("checkpoint", "sample_a"), "value", "prediction minus target"
            ),
            "r1": _pairs("delta_A changes; for J = delta^2 / 2, as r2 and r3"),
            "r2": _pairs("delta_B changes"),
            "r3": _pairs("the gradients of f turn"),
        },
    ),
    "momentum": _measurement(
        "momentum",
        "Interference and its change under momentum SGD (paper, section 6.1)",
        {
            "transition": _TRANSITION,
            "interference": _pairs("rho = grad J_A . grad J_B, for J = delta^2 / 2, as all here"),
            "change": _pairs("rho', its derivative along -grad J_B"),
            "momentum_interference": _pairs("rho_mu (eq. 20)"),
            "momentum_change": _pairs("rho'_mu along the momentum update (eq. 19)"),
            "momentum_change_along_gradient": _pairs("rho'_mu along -grad J_B (eq. 21, corrected)"),
        },
    ),
    "policy_score": _measurement(
        "policy_score",
        "Whole episodes played by the learned Q values (paper, figure 6)",
        {
            "score": Field(
                "float32",
                ("checkpoint", "episode"),
                _GAME_SCORE,
                "undiscounted sum of raw rewards",
            ),
            "agent_steps": Field("int64", ("checkpoint", "episode"), "agent steps", "its length"),
            "truncated": Field(
                "bool", ("checkpoint", "episode"), "", "cut by the limit on emulator frames"
            ),
        },
    ),
}

RANDOM_NETWORKS = Table(
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

TABLES = {
    table.name: table
    for table in (
        REPLAY,
        IMAGES,
        REGRESSION,
        CHECKPOINTS,
        *MEASUREMENTS.values(),
        RANDOM_NETWORKS,
        GENERALIZATION,
    )
}
