"""Figures: one file each; `FIGURES` names them with the tables they draw.

To add one: a module with `data(tables)` and `plot(tables, title)`, and an entry here. The
registry imports nothing heavy, so the Snakefile can read it.
"""

import importlib
from types import ModuleType
from typing import NamedTuple

_OF_A_MEAN = (
    "interval of that mean over runs: Student's t, which from ten runs on a bootstrap widens where "
    "runs are skewed; one run has none"
)
_LINES = f"Lines: mean over runs. Shaded: {_OF_A_MEAN}; it may run off the axes."
_OF_R = (
    "its interval is over cells, each with all its seeds (Fisher's z, jackknife), and there is "
    "none where there are too few of them"
)

_TITLE = "{games} · {scale} scale · {runs} per line\nbands: {interval}"


class FigureEntry(NamedTuple):
    """One figure."""

    name: str  # of the files a user asks for: results/<name>.pdf
    module: str  # of td_interference.figures
    tables: tuple[str, ...]  # that it draws, in tables.TABLES
    caption: str  # what the report says below it
    title: str = _TITLE  # over the picture; `render` fills in what is in braces
    about: str = "atari"  # the target that makes it among others: atari or generalization


_GENERALIZATION = (
    "Networks of different capacity (width n_h, n_L extra layers), trained on the first n_T "
    "samples or images: classifiers, regressions, Double DQN and REINFORCE agents. ρ: mean "
    "function interference, the inner product of the gradients of f (the largest output, or the "
    "mean one of regressions and REINFORCE) at two different training samples. Gap: accuracy or "
    "reward in train minus test, or test minus train error."
)

FIGURES = (
    FigureEntry(
        "fig1",
        "fig01_correlation_by_size",
        ("generalization_by_size",),
        "Pearson's r of log ρ and generalization gap, over capacities and seeds, for each training "
        f"set size n_T. {_GENERALIZATION} Shaded: interval of r; {_OF_R}.",
        "{data} · {scale} scale\neach r over {runs} of {cells} capacities · bands: "
        "{confidence:.0%} interval over capacities · {left_out}",
        "generalization",
    ),
    FigureEntry(
        "fig2",
        "fig02_gap_and_interference",
        ("generalization_runs", "generalization_lines"),
        "Generalization gap against log ρ, both standardised within each experiment. A circle is a "
        "run, its area in proportion to the number of parameters. Lines: least squares over all "
        f"training sizes and capacities, whose slope here is r; {_OF_R}. "
        f"{_GENERALIZATION}",
        "{data} · {scale} scale\n{runs} of {cells} cells (capacity and n$_T$) per line · r with "
        "{confidence:.0%} interval over cells · {left_out}",
        "generalization",
    ),
    FigureEntry(
        "fig3",
        "fig03_gain_of_regressions",
        ("gain_by_objective",),
        "Gain of the regressions to Monte-Carlo returns (MC), to Q* (reg) and to TD targets of Q* "
        "(TD*): pointwise TD loss before minus after one real optimizer step, at states around "
        f"those of the step's minibatch (offset 0, dotted). {_LINES}",
    ),
    FigureEntry(
        "fig4",
        "fig04_gain_of_q_learning",
        ("gain_by_optimizer",),
        "Gain of Q-learning: pointwise TD loss before minus after one real optimizer step, at "
        "states around those of the step's minibatch. Full lines: control; dashed: policy "
        "evaluation. Each optimizer has a panel and a scale of its own. Offset 0, of far higher "
        f"gain, is left out (figure 10 has it). {_LINES}",
    ),
    FigureEntry(
        "fig5",
        "fig05_stiffness_by_lambda",
        ("stiffness_by_lambda",),
        "Cosine similarity between the loss gradients at S_t (offset 0) and at neighbouring states "
        f"of its episode, after TD(λ) policy evaluation. {_LINES}",
    ),
    FigureEntry(
        "fig6",
        "fig06_score_and_interference_by_sign_variance",
        ("parameterizations", "parameterization_correlations"),
        "Score of greedy rollouts (top) and function interference (bottom) after policy evaluation "
        "with Q-learning, against the sign variance of its TD errors. A marker is one run; its "
        "colour is the learning rate, its area in proportion to the hidden units. Bars: interval "
        "of the run's own mean, over episodes (top) or states (bottom), which says nothing about "
        "another run. r: Pearson correlation over runs; its interval is over cells, each a "
        "learning rate and width with all its seeds (Fisher's z, jackknife), and there is none "
        "where there are too few of them.",
        "{games} · {scale} scale · {runs}, a marker each\n"
        "bars: {confidence:.0%} interval over a run's episodes or states · of r: over cells",
    ),
    FigureEntry(
        "fig7",
        "fig07_second_order_terms",
        ("second_order_by_objective",),
        "Terms of the change of interference, ρ' = -r1 - r2 - r3 (eq. 16, 17), early in training: "
        "regression to Q* (reg) and Q-learning with a frozen network (DQN), with its moving "
        "average (DDQN) and with none (QL). Full lines: mean of the positive and of the negative "
        "pairs of samples; transparent dashed lines: mean of all. Each panel has a scale of its "
        f"own. Bottom row: share of pairs with a negative term. {_LINES}",
    ),
    FigureEntry(
        "fig8",
        "fig08_gap_by_size",
        ("generalization_runs", "gap_by_size", "gap_correlations"),
        "Generalization gap against training set size n_T. A circle is a run, its area in "
        f"proportion to the width n_h. {_LINES} r: Pearson's, of gap and log n_T; {_OF_R}. "
        f"{_GENERALIZATION}",
        "{data} · {scale} scale\n{runs} per n$_T$ · bands: {interval} · r over {cells} cells "
        "(capacity and n$_T$) · {left_out}",
        "generalization",
    ),
    FigureEntry(
        "fig9",
        "fig09_interference_by_capacity",
        ("interference_by_capacity", "capacity_correlations"),
        "Function interference ρ, averaged over training, against capacity. Lines: geometric mean "
        f"over the runs of all training set sizes, with the {_OF_A_MEAN}; full for n_L = 0, "
        "dashed for 1, dash-dotted for 2, dotted for 3. r: Pearson's, of log ρ and log capacity "
        f"over runs; {_OF_R}. {_GENERALIZATION}",
        "{data} · {scale} scale\n{runs} per point · bands: {interval} · r over {cells} cells "
        "(capacity and n$_T$) · {left_out}",
        "generalization",
    ),
    FigureEntry(
        "fig10",
        "fig10_gain_of_q_learning_with_zero",
        ("gain_by_optimizer",),
        "Figure 4 with offset 0, the states of the step's own minibatch. Full lines: control; "
        f"dashed: policy evaluation. {_LINES}",
    ),
    FigureEntry(
        "fig11",
        "fig11_gain_by_lambda",
        ("gain_by_lambda",),
        "Gain: pointwise TD(λ) loss before minus after one real optimizer step, at states around "
        f"those of the step's minibatch (offset 0). {_LINES}",
    ),
    FigureEntry(
        "fig12",
        "fig12_singular_values_of_q_learning",
        ("singular_values_by_optimizer",),
        "Singular values of the last hidden layer's weights during Q-learning. Full lines: "
        f"control; dashed: policy evaluation. {_LINES}",
    ),
    FigureEntry(
        "fig13",
        "fig13_singular_values_by_lambda",
        ("singular_values_by_lambda",),
        "Singular values of the last hidden layer's weights after TD(λ) policy evaluation. "
        f"{_LINES}",
    ),
    FigureEntry(
        "fig14",
        "fig14_gain_over_training",
        ("gain_over_training",),
        "Gain of Q-learning in control over training: pointwise TD loss before minus after one "
        "real optimizer step, mean over runs. A cell reaches halfway to the neighbouring "
        f"checkpoints. Dots: 0 is in the {_OF_A_MEAN}. Offset 0, of far higher "
        "gain, is left out.",
        "{games}, control · {scale} scale · {runs}\n{interval} (dots: 0 is inside)",
    ),
    FigureEntry(
        "momentum",
        "momentum_variance",
        ("momentum_variance",),
        "Standard deviation, over pairs of samples, of the change of interference along a plain "
        "gradient step (ρ') and along a momentum step (ρ'μ; eq. 14, 21) of the same runs (top), "
        "and ratios of the latter to the former, as they are and relative to the standard "
        f"deviation of the interference itself (bottom). {_LINES}",
    ),
    FigureEntry(
        "random_networks",
        "random_networks",
        ("random_networks_summary", "random_networks_histogram", "random_networks_step_sizes"),
        "Distribution of ρ' (eq. 14) over pairs of samples of randomly initialised networks "
        "with standard normal inputs and δ (section 6), or, at (y), standard normal targets y; the "
        "number after a network is its hidden units. Bins are of equal width on the axis, which is "
        "linear around 0 and logarithmic beyond; the outline is the same histogram mirrored at 0, "
        "so that the side that stands out of it is the heavier one. Lines: mean and median, with "
        "their intervals. Below: relative error of eq. 36 against how interference changes "
        "over a real step of gradient descent, median over networks; in networks of leaky ReLUs it "
        "rises where steps are long enough for units to cross their kinks. Intervals: "
        "over networks.",
        "random networks · {scale} scale\nintervals: {confidence:.0%}, over networks",
    ),
)


def entry(name: str) -> FigureEntry:
    """Return the entry called `name`.

    Args:
        name: Of the registry; or "<name>-<experiment>", the figure of an experiment of a user's
            own in place of that which the registry's is of.

    Raises:
        KeyError: If the registry has no such name.
    """
    base, _, experiment = name.partition("-")
    found = {entry.name: entry for entry in FIGURES}[base]
    if not experiment:
        return found
    return found._replace(
        name=name,
        tables=tuple(f"{table}-{experiment}" for table in found.tables),
        caption=f"As {base}, of the experiment {experiment}: {found.caption}",
        title=found.title.replace("{scale} scale", f"{experiment} · {{scale}} scale"),
    )


def load(name: str) -> ModuleType:
    """Return the module of the figure called `name`, imported on demand.

    Raises:
        KeyError: If the registry has no such name.
    """
    return importlib.import_module(f"{__name__}.{entry(name).module}")
