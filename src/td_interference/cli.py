"""The command `td-interference`: look into files, plan, follow jobs, measure checkpoints."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from td_interference.commands.terminal import say, show_facts, show_table
from td_interference.errors import one_line_errors
from td_interference.planning import thread_variables

# The rest is imported by each command: a card with a mistake ends it in a line, and it starts soon.

# Markup is off everywhere: a path may hold whatever a person put into it.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=__doc__,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Force = Annotated[bool, typer.Option("--force", help="Replace what this command wrote before.")]


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
    from td_interference.commands.overwriting import check_output
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
    """List the runs and figures of a scale; a configuration file is checked, nothing executed."""
    from td_interference import figures
    from td_interference.planning import config as configuration
    from td_interference.planning import targets
    from td_interference.planning.plan import make_plan

    user = configuration.read_yaml(directory / "config.yaml")
    if configfile is not None:
        user = configuration.merge(user, configuration.read_yaml(configfile))
    if scale:
        user["scale"] = scale
    the_plan = make_plan(user, directory / "workflow")
    rows = [
        (run_id, f"{trained.updates:,}", ", ".join(f"{step:,}" for step in trained.checkpoints))
        for run_id, run in the_plan.runs.items()
        if (trained := run.measured_as)
    ]
    groups = the_plan.of_kind("generalization").items()
    rows += [(run_id, f"{group.cells[0].duration:,}", "") for run_id, group in groups]
    show_table(f"{the_plan.scale} scale", ("run", "updates", "checkpoints"), rows)
    drawn = [
        (name, ", ".join(figures.entry(name).tables), reason)
        for name, reason in targets.figure_states(the_plan).items()
    ]
    show_table("", ("figure", "tables", "why not"), drawn)


@app.command()
def status(
    directory: Annotated[Path, typer.Argument(help="Where the results are.")] = Path("results"),
    scale: Annotated[str, typer.Option(help="Only the jobs of this scale.")] = "",
) -> None:
    """Show how far the running jobs are, and which jobs failed or were stopped."""
    from td_interference.commands.status import COLUMNS, jobs_in, scales_in

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
    from td_interference.commands.measuring import measure_checkpoints

    measure_checkpoints(
        metric,
        checkpoints,
        replay,
        output,
        objective=objective,
        scale=scale,
        device=device,
        directory=directory,
        force=force,
    )
    say(f"wrote {output}")
