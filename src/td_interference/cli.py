"""The command `td-interference`: look into files, plan, follow jobs, measure checkpoints."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from td_interference import config as configuration
from td_interference import metrics, planning, storage, thread_variables
from td_interference.errors import UserError, one_line_errors
from td_interference.grid import RunSpec
from td_interference.inspection import summarise, write_montage
from td_interference.progress import FILE_NAME, Heartbeat

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
console = Console(soft_wrap=True)

_SILENCE = 120  # seconds after which a job that said nothing is called silent


def main() -> None:
    """Run the command; bad input ends with one line and exit code 1."""
    thread_variables.clear()
    with one_line_errors():
        app()


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A D*, checkpoints or metrics file.")],
    montage: Annotated[
        Path | None, typer.Option(help="Draw frames of the best episode of a D* to this PNG.")
    ] = None,
) -> None:
    """Print what is in an HDF5 file of the project."""
    title, facts = summarise(file)
    table = Table(title=f"{file}\n{title}", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(name, fact)
    console.print(table)
    if montage is not None:
        write_montage(file, montage)
        console.print(f"wrote {montage}")


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
    table = Table("run", "updates", "checkpoints", title=f"{the_plan.scale} scale")
    for run_id, run in the_plan.runs.items():
        table.add_row(run_id, f"{run.steps:,}", ", ".join(f"{step:,}" for step in run.checkpoints))
    for run_id, control in the_plan.control_runs.items():
        checkpoints = ", ".join(f"{step:,}" for step in control.checkpoints)
        table.add_row(run_id, f"{control.updates:,}", checkpoints)
    console.print(table)


@app.command()
def status(
    directory: Annotated[Path, typer.Argument(help="Where the results are.")] = Path("results"),
) -> None:
    """Show how far the running jobs are."""
    table = Table("job", "done", "rate", "time left", "")
    now = time.time()
    for path in sorted(directory.glob(f"*/state/**/{FILE_NAME}")):
        try:
            beat = Heartbeat(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue  # the job ended, or another version wrote it
        silent = now - beat.written_at
        table.add_row(
            beat.job,
            f"{beat.done:,}/{beat.total:,} {beat.unit} ({beat.done / max(1, beat.total):.0%})",
            f"{beat.rate:.1f}/s",
            time.strftime("%H:%M:%S", time.gmtime(beat.seconds_left)),
            f"silent for {silent:.0f} s" if silent > _SILENCE else "",
        )
    if table.row_count:
        console.print(table)
    else:
        console.print(f"no job is running in {directory}")


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
) -> None:
    """Measure one metric of a run's checkpoints, outside of the workflow."""
    from td_interference.device import compute_exactly, resolve_device  # torch takes seconds
    from td_interference.metrics.measuring import measure_run

    compute_exactly()
    names = [entry.name for entry in metrics.METRICS]
    if metric not in names:
        raise UserError(f"unknown metric {metric!r}; known: {', '.join(names)}")
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
    console.print(f"wrote {output}")
