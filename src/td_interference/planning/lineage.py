"""The identity that each result of a plan must have, and the code that the cheap ones depend on.

The rules hand them to the jobs as parameters: a job that makes a file writes its identity into it,
one that reads a file compares.
"""

import dataclasses
import functools
import hashlib
from pathlib import Path

from td_interference import figures, metrics, tables
from td_interference.planning import sources
from td_interference.planning.plan import Plan, Run
from td_interference.storage import identity
from td_interference.storage.identity import Identity

_code = functools.cache(sources.digest)  # asked for by each of thousands of jobs


@dataclasses.dataclass(frozen=True, eq=False)
class Lineage:
    """What all results of a plan come from; an identity is made once, for many jobs ask for it."""

    plan: Plan
    scripts: Path  # directory of the workflow's scripts

    @functools.cache  # noqa: B019 - a process has one lineage, to its end
    def replay(self, game: str, seed: int) -> Identity:
        """Return the identity of the D* of a game and seed."""
        return identity.of_replay(self.plan.replay(game, seed), self.plan.expert(game))

    @functools.cache  # noqa: B019
    def measurement(self, run: Run, metric: str) -> Identity:
        """Return the identity of what a metric measures of a run, whatever kind it is of."""
        if run.measured_as is None:
            return run.identity(self)
        settings, code = self.plan.metric_settings(metric), self.metric_code(metric, run)
        return identity.of_measurement(metric, settings, code, run.identity(self))

    @functools.cache  # noqa: B019
    def _digest(self, run: Run, metric: str) -> str:
        return identity.digest(self.measurement(run, metric))

    @functools.cache  # noqa: B019
    def table(self, name: str) -> Identity:
        """Return the identity of a table."""
        return identity.of_table(
            name,
            self.plan.statistics(tables.entry(name).sources),
            self.table_code(name),
            [self._digest(run, source.metric) for run, source in self.plan.measured_runs(name)],
        )

    def metric_code(self, metric: str, run: Run) -> str:
        """Return the digest of the code that measures a run's checkpoints, objective included."""
        described = run.measured_as
        assert described is not None, f"{run.run_id} has no checkpoints"
        own = described.objective_file
        return _code(
            self.scripts / "measure_run.py",
            f"metrics/{metrics.entry(metric).module}.py",
            f"objectives/{described.objective}.py" if own is None else Path(own),
        )

    def study_code(self) -> str:
        """Return the digest of the code that measures random networks."""
        return _code(self.scripts / "measure_random_networks.py")

    def table_code(self, name: str) -> str:
        """Return the digest of what computes a table: its code, and the words of a plain one."""
        entry = tables.entry(name)
        code = _code(self.scripts / "compute_table.py", f"tables/{entry.module}.py")
        if entry.means is None:
            return code
        return hashlib.sha256(f"{code} {entry.means.model_dump_json()}".encode()).hexdigest()

    def figure_code(self, name: str) -> str:
        """Return the digest of the code that draws a figure."""
        module = f"figures/{figures.entry(name).module}.py"
        return _code(self.scripts / "make_figure.py", module)
