"""Measuring a run's checkpoints by hand, outside of the workflow."""

import dataclasses
from pathlib import Path

from td_interference import metrics
from td_interference.commands.overwriting import check_output
from td_interference.errors import UserError, rebuild
from td_interference.objectives import known
from td_interference.planning import config as configuration
from td_interference.planning.lineage import Lineage
from td_interference.planning.plan import make_plan
from td_interference.planning.runs import Trained, run_of
from td_interference.storage import attributes, hdf5, kinds
from td_interference.storage.files import sha256


def measure_checkpoints(
    metric: str,
    checkpoints: Path,
    replay: Path,
    output: Path,
    *,
    objective: Path | None,
    scale: str,
    device: str,
    directory: Path,
    force: bool,
) -> None:
    """Measure one metric of a run; what the arguments are, the help of `measure` says.

    Raises:
        UserError: If there is no such metric, it cannot be measured of the run, a file is bad, or
            the output would cost another file.
    """
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


def _measured_run(checkpoints: Path, objective: Path | None) -> Trained:
    """Return the run that a file of checkpoints says it is of, with the file of its own objective.

    A file's word is not enough to run code: whoever measures names the objective's file.

    Raises:
        UserError: If it does not say, or the objective's file is not named, or another one.
    """
    with hdf5.opened(checkpoints, kinds.CHECKPOINTS) as file:
        identity = attributes.identity_of(file)
    try:
        run = run_of(identity)
        objective_name = run.measured_as.objective
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
    return dataclasses.replace(run.measured_as, objective_file=str(objective))
