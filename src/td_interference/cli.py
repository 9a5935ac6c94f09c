"""The command `td-interference`: look into files, plan, follow jobs, measure checkpoints."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from td_interference import metrics
from td_interference.commands.overwriting import check_output
from td_interference.commands.status import COLUMNS, jobs_in, scales_in
from td_interference.commands.terminal import say, show_facts, show_table
from td_interference.errors import UserError, one_line_errors, rebuild
from td_interference.objectives import known
from td_interference.planning import config as configuration
from td_interference.planning import thread_variables
from td_interference.planning.control import ControlSettings
from td_interference.planning.grid import RunSpec
from td_interference.planning.lineage import Lineage
from td_interference.planning.plan import make_plan
from td_interference.planning.runs import measured_as, run_of
from td_interference.storage import attributes, hdf5, kinds
from td_interference.storage.files import sha256

# Markup is off everywhere: a path may hold whatever a person put into it.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=__doc__,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there already.")]


def main() -> None:
    """Run the command; bad input ends with one line and exit code 1."""
    thread_variables.clear()
    for stream in (sys.stdout, sys.stderr):  # names of files may be no text at all
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    with one_line_errors():
        app()


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="Any file of the project, or a directory.")],
    montage: Annotated[
        Path | None, typer.Option(help="Draw frames of the best episode of a D* to this PNG.")
    ] = None,
    force: Force = False,
) -> None:
    """Print what is in a file of the project; of others, what they look like."""
    from td_interference.commands.inspection import write_montage
    from td_interference.commands.summaries import summarise

    if montage is not None:
        check_output(montage, [file], force=force, option="--montage")
    title, facts = summarise(file)
    say(str(file))
    show_facts(title, list(facts.items()))
    if montage is not None:
        write_montage(file, montage)
        say(f"wrote {montage}")


@app.command()
def plan(
    scale: Annotated[
        str, typer.Option(help="smoke, laptop or paper; default: config.yaml's.")
    ] = "",
    configfile: Annotated[
        Path | None,
        typer.Option(help="A further configuration file, as for snakemake --configfile."),
    ] = None,
    directory: Annotated[Path, typer.Option(help="The project's directory.")] = Path(),
) -> None:
    """List the runs of a scale; a configuration file is checked, and nothing in it executed."""
    user = configuration.read_yaml(directory / "config.yaml")
    if configfile is not None:
        user = configuration.merge(user, configuration.read_yaml(configfile))
    if scale:
        user["scale"] = scale
    the_plan = make_plan(user, directory / "workflow")
    rows = [
        (run_id, f"{updates:,}", ", ".join(f"{step:,}" for step in checkpoints))
        for run_id, updates, checkpoints in [
            *((run_id, run.updates, run.checkpoints) for run_id, run in the_plan.runs.items()),
            *(
                (run_id, run.updates, run.checkpoints)
                for run_id, run in the_plan.control_runs.items()
            ),
        ]
    ]
    show_table(f"{the_plan.scale} scale", ("run", "updates", "checkpoints"), rows)


@app.command()
def status(
    directory: Annotated[Path, typer.Argument(help="Where the results are.")] = Path("results"),
    scale: Annotated[str, typer.Option(help="Only the jobs of this scale.")] = "",
) -> None:
    """Show how far the running jobs are, and which jobs failed or were stopped."""
    scales = scales_in(directory, scale)
    rows = [row for each in scales for row in jobs_in(each)]
    if rows:
        show_table("", COLUMNS, rows)
    if not any(row.state == "running" for row in rows):
        say(f"no job is running in {directory}")


@app.command()
def measure(
    metric: Annotated[str, typer.Argument(help="Name of a metric, e.g. stiffness.")],
    checkpoints: Annotated[Path, typer.Option(help="A run's checkpoints.h5.")],
    replay: Annotated[
        Path, typer.Option(help="The D* to measure on; of control, the run's windows directory.")
    ],
    output: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    objective: Annotated[
        Path | None,
        typer.Option(help="Python file of the run's objective, where it is your own; it is run."),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="Whose metric settings to use; default: config.yaml's.")
    ] = "",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    directory: Annotated[Path, typer.Option(help="The project's directory.")] = Path(),
    force: Force = False,
) -> None:
    """Measure one metric of a run's checkpoints, outside of the workflow."""
    names = [entry.name for entry in metrics.METRICS]
    if metric not in names:
        raise UserError(f"unknown metric {metric!r}; known: {', '.join(names)}")
    inputs = [checkpoints, replay, *([] if objective is None else [objective])]
    check_output(output, inputs, force=force, option="--output")
    from td_interference.device import compute_exactly, resolve_device  # torch takes seconds
    from td_interference.metrics.measuring import measure_run

    compute_exactly()
    user = configuration.read_yaml(directory / "config.yaml") | {"device": device}
    if scale:
        user["scale"] = scale
    the_plan = make_plan(user, directory / "workflow")
    run = _measured_run(checkpoints, objective)
    measure_run(
        metric,
        the_plan.metric_settings(metric),
        run,
        replay,
        checkpoints,
        output,
        wanted=None,
        code=Lineage(the_plan, directory / "workflow" / "scripts").metric_code(metric, run),
        device=resolve_device(device),
    )
    say(f"wrote {output}")


def _measured_run(checkpoints: Path, objective: Path | None) -> RunSpec | ControlSettings:
    """Return the run that a file of checkpoints says it is of, with the file of its own objective.

    A file's word is not enough to run code: whoever measures names the objective's file.

    Raises:
        UserError: If it does not say, or the objective's file is not named, or another one.
    """
    with hdf5.opened(checkpoints, kinds.CHECKPOINTS) as file:
        identity = attributes.identity_of(file)
    try:
        run = run_of(identity)
        objective_name = measured_as(run).objective
        trained_towards = identity.get("objective_sha256")
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{checkpoints}: does not say which run it is of (attribute 'identity'); "
            f"{rebuild(checkpoints)}"
        ) from None
    if objective_name in known():
        if objective is not None:
            raise UserError(
                f"{checkpoints}: was trained towards {objective_name} of this program; leave "
                "--objective out"
            )
        return run
    if objective is None:
        raise UserError(
            f"{checkpoints}: was trained towards your own objective {objective_name} (SHA-256 "
            f"{trained_towards}); if you trust it, name that file with --objective"
        )
    given = sha256(objective) if objective.is_file() else "of no file"
    if given != trained_towards:
        raise UserError(
            f"{objective}: its SHA-256 is {given}, but {checkpoints} was trained towards that of "
            f"{trained_towards}; name the file as it was then"
        )
    assert isinstance(run, RunSpec), "control learns towards an objective of the package"
    return dataclasses.replace(run, objective_file=str(objective))
