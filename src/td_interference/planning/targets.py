"""What can be asked for: the figures there are, why one is not, and a line on what is unknown."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from td_interference import figures, tables
from td_interference.planning.config import SCALES
from td_interference.planning.constraints import unmeasurable
from td_interference.planning.layout import LOGS, RESULTS, Result, figure_files, published
from td_interference.planning.messages import did_you_mean
from td_interference.planning.plan import (
    CONTROL,
    GENERALIZATION,
    OWN_KEYS,
    RANDOM_NETWORKS,
    TRAINING,
    Plan,
)

_IN_A_STAGE = 3  # parts of results/<scale>/<stage>
KINDS = {  # of the runs that a wildcard names
    "run_id": {TRAINING, CONTROL},
    "study_id": {RANDOM_NETWORKS},
    "group_id": {GENERALIZATION},
}


def figure_states(plan: Plan) -> dict[str, str]:
    """Return every figure by name, with the reason why it cannot be drawn, or "".

    Those of an experiment of a user's own follow on the others: "<figure>-<experiment>", of each
    figure that is of one experiment from D* alone.
    """
    names = [entry.name for entry in figures.FIGURES]
    for experiment in plan.own_experiments:
        for entry in figures.FIGURES:
            drawn_of = {source.experiment for source in sources(entry.name)}
            if len(drawn_of) == 1 and drawn_of.isdisjoint(OWN_KEYS):
                names.append(f"{entry.name}-{experiment}")
    missing = {name: (_missing(plan, source) for source in sources(name)) for name in names}
    return {name: next(filter(None, reasons), "") for name, reasons in missing.items()}


def wanted_by_all(plan: Plan) -> list[str]:
    """Return the figures that are made if nothing else is asked for.

    Of an experiment of a user's own these are the figures that every experiment has; the others
    (of momentum, say) are made where they are asked for.
    """
    return [
        name
        for name, reason in figure_states(plan).items()
        if not reason and ("-" not in name or _of_any_experiment(name))
    ]


def left_out(plan: Plan) -> str:
    """Return a line on the figures that cannot be drawn by the configuration, or ""."""
    reasons: dict[str, list[str]] = {}
    for name, reason in figure_states(plan).items():
        if reason and "-" not in name:
            reasons.setdefault(reason, []).append(name)
    return "; ".join(f"no {', '.join(names)}: {reason}" for reason, names in reasons.items())


def table_names(plan: Plan) -> list[str]:
    """Return every table that can be reduced, those that all experiments have first."""
    drawn = [
        table
        for name, reason in figure_states(plan).items()
        if not reason
        for table in figures.entry(name).tables
    ]
    own = [entry.name for name in plan.own_experiments for entry in tables.of_experiment(name)]
    possible = [
        entry.name
        for entry in tables.TABLES
        if not any(_missing(plan, source) for source in entry.sources)
    ]
    return list(dict.fromkeys([*possible, *own, *drawn]))


def sources(figure: str) -> list[tables.Source]:
    """Return the sources of all tables that a figure draws."""
    named = figures.entry(figure).tables
    return [source for table in named for source in tables.entry(table).sources]


def _of_any_experiment(figure: str) -> bool:
    named = figures.entry(figure).tables
    return all(table.partition("-")[0] in tables.OF_ANY_EXPERIMENT for table in named)


def _missing(plan: Plan, source: tables.Source) -> str:
    """Return why a table's source has no runs, or none that fit, or ""."""
    where = plan.key(source.experiment)
    if not plan.includes(source.experiment):
        return f"'{where}' is left out (null)"
    if source.optimizers and not plan.source_runs(source):
        return f"'{where}.optimizers' has no {' or '.join(source.optimizers)}"
    for run in plan.experiment_runs(source.experiment):
        if (described := run.measured_as) and (why := unmeasurable(source.metric, described)):
            return f"{why} (in '{where}')"
    return ""


def gone(plan: Plan, figure: str, exists: Callable[[str], bool]) -> list[str]:
    """Return what is not there any more of a figure and all that it came from.

    A file is gone if it is not there and something that was made of it is: what was never made is
    simply made. All paths are below the scale's directory.
    """
    own = figure_files(figure)
    # The log stays where Snakemake removed all three, for a job that then failed to draw again.
    drawn = any(map(exists, [*own, f"{LOGS}/publish/{figure}.log"]))
    found = {path for path in own if drawn and not exists(path)}
    for name in figures.entry(figure).tables:
        table = Result.TABLE.format(table=name)
        reduced = exists(table)
        if drawn and not reduced:
            found.add(table)
        for run, source in plan.measured_runs(name):
            made_of_it = drawn or reduced
            measurement = Result.MEASUREMENT.format(metric=source.metric, run_id=run.run_id)
            for path in (measurement, *reversed(run.products(plan.config))):
                if exists(path):
                    made_of_it = True
                elif made_of_it:
                    found.add(path)
    return sorted(found)


def are_planned(plan: Plan, wildcards: Mapping[str, str]) -> bool:
    """Return whether the ids among a target's wildcards are of the plan's runs."""
    named = [(plan.runs.get(wildcards[name]), KINDS[name]) for name in KINDS if name in wildcards]
    return all(run is not None and run.kind in kinds for run, kinds in named)


def asked_for(arguments: Sequence[str], known: Callable[[str], bool]) -> list[str]:
    """Return the targets in the arguments of a call of Snakemake that nothing produces.

    Snakemake's own parser takes a third of a second to build, so it is asked only if there is a
    word that could be such a target. Which rules, files and what is produced are, `known` says.
    """
    cores = ("-c", "--cores", "-j", "--jobs")
    words = [
        word
        for before, word in zip(["", *arguments], arguments, strict=False)
        if not word.startswith("-") and "=" not in word and before not in cores
    ]
    if all(word == "all" or known(word) for word in words):
        return []
    from snakemake.cli import get_argument_parser

    given, explicit = list(arguments), []
    if "--" in given:  # what follows would be lost to the parser
        place = given.index("--")
        given, explicit = given[:place], given[place + 1 :]
    parsed, _ = get_argument_parser().parse_known_args(given)
    # Snakemake takes what is no rule for a file, and would make it.
    further = [*(parsed.forcerun or ()), *(parsed.until or ())]
    named = dict.fromkeys([*(parsed.targets or ()), *explicit, *further])
    return [target for target in named if not known(target)]


def explain(target: str, states: Mapping[str, str], scale: str, rules: Iterable[str]) -> str:
    """Return a line on a target that nothing produces: what is meant, or what there is.

    The states are those of `figure_states`, the rules those that can be asked for.
    """
    path = Path(target)
    name, parts = path.stem, path.parts
    if len(parts) > 1 and RESULTS in parts:
        parts = parts[parts.index(RESULTS) :]
    if len(parts) > 2 and parts[0] == RESULTS and parts[1] != scale and parts[1] in SCALES:
        return (
            f"{target}: is of the scale {parts[1]}, and this call is of {scale}; add --config "
            f"scale={parts[1]}"
        )
    if path.is_absolute() and RESULTS in path.parts:
        return f"{target}: targets are named from the working directory: {Path(*parts)}"
    figure = _figure_meant(name, states)
    if figure and states[figure]:
        return f"{target}: {figure} cannot be drawn, for {states[figure]}"
    if figure:
        return f"{target}: no such target; did you mean {published('pdf', figure)}?"
    if len(parts) > _IN_A_STAGE:
        return (
            f"{target}: nothing of this name is made at {scale} scale; `td-interference plan "
            f"--scale {scale}` lists the runs"
        )
    guess = did_you_mean(name, rules) if len(parts) == 1 else ""
    drawable = ", ".join(name for name, reason in states.items() if not reason)
    form = published("pdf", "<name>")
    return f"{target}: no such target{guess or '.'} The figures are {form} of {drawable}"


def _figure_meant(name: str, states: Mapping[str, str]) -> str:
    """Return the figure that a name is of, also as "figure 5" or "Fig05", or ""."""
    plain = re.sub(r"^(?:figure|fig)?[ _.-]*0*(?=\d)", "fig", name.lower())
    if plain in states:
        return plain
    close = difflib.get_close_matches(plain, states, n=1, cutoff=0.85)
    # fig99 is no slip of the pen for fig9.
    return close[0] if close and re.sub(r"\D", "", close[0]) == re.sub(r"\D", "", plain) else ""
