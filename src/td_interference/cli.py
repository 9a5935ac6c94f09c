"""The command `td-interference`: look into files, plan, follow jobs, measure checkpoints."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from td_interference import config as configuration
from td_interference import metrics, planning, storage, thread_variables
from td_interference.errors import UserError, one_line_errors
from td_interference.grid import RunSpec
from td_interference.overwriting import check_output
from td_interference.status import COLUMNS, jobs_in, scales_in
from td_interference.terminal import say, show_facts, show_table

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
    from td_interference.inspection import write_montage
    from td_interference.summaries import summarise

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
    the_plan = planning.make_plan(user, directory / "workflow")
    rows = [
        (run_id, f"{updates:,}", ", ".join(f"{step:,}" for step in checkpoints))
        for run_id, updates, checkpoints in [
            *((run_id, run.steps, run.checkpoints) for run_id, run in the_plan.runs.items()),
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
    scale: Annotated[str, typer.Option(help="Whose metric settings to use.")] = "laptop",
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
    user = {"scale": scale, "device": device}
    settings = planning.make_plan(user, directory / "workflow").metric_settings(metric)
    attributes = storage.read_attributes(checkpoints, storage.CHECKPOINTS)
    try:
        run = RunSpec.from_dict(attributes["run"])
    except (KeyError, TypeError):
        raise UserError(
            f"{checkpoints}: does not say which run it is of, or another version of this program "
            "wrote it (attribute 'run'); delete it and run snakemake again"
        ) from None
    # A file's word is not enough to run code: whoever measures names the objective's file.
    if run.objective_file is not None and objective is None:
        raise UserError(
            f"{checkpoints}: was trained towards the objective {run.objective} of "
            f"{run.objective_file}; if you trust it, name that file with --objective"
        )
    if objective is not None:
        run = dataclasses.replace(run, objective_file=str(objective))
    measure_run(
        metric,
        settings,
        run,
        replay,
        checkpoints,
        output,
        device=resolve_device(device),
    )
    say(f"wrote {output}")
