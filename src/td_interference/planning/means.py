"""Which measurements tables reduce, and tables that are plain means of what a metric measures.

A plain mean is described, not programmed: `tables.plain` computes it from the named dimensions of
the metric's fields.
"""

from typing import Literal

from pydantic import Field, model_validator

from td_interference.planning.cards import Card

# Of a run's measured checkpoints: the last, those its experiment names, all, or the earliest that
# all experiments of a table have.
Checkpoints = Literal["last", "named", "all", "common"]


class Source(Card):
    """Measurements of one kind that a table reduces."""

    experiment: str = Field(description="a key of the configuration's experiments, or see planning")
    metric: str = Field(description="which measurement of each of its runs")
    checkpoints: Checkpoints = "last"
    optimizers: tuple[str, ...] = ()  # only runs by these; () for all
    first_game: bool = False  # only runs of the game that the experiment lists first


class Part(Card):
    """One number of a run: the mean of a field."""

    field: str = Field(description="of the metric")
    over: tuple[tuple[int, int], ...] = ()  # from here to there along the field's axis; () for all


class Means(Card):
    """A table of means over runs.

    An axis of the field (see `metrics.FieldCard`) is one of the table; what was drawn within a run
    is averaged.
    """

    metric: str = Field(description="which measurement of each run")
    field: str = ""  # of the metric
    over: tuple[tuple[int, int], ...] = ()  # as of `Part`: one number instead of an axis
    # Several numbers instead, by what the column "place" calls them.
    parts: dict[str, Part] = Field(default_factory=dict)
    experiments: tuple[str, ...] = Field(description="keys of the configuration's experiments")
    by: tuple[Literal["experiment", "lambda", "objective", "optimizer"], ...] = ()  # lines
    games: Literal["apart", "together"] = "apart"
    checkpoints: Literal["last", "all", "common"] = "last"
    optimizers: tuple[str, ...] = ()  # as of `Source`
    first_game: bool = False

    @model_validator(mode="after")
    def _check(self) -> "Means":
        if bool(self.field) == bool(self.parts):
            raise ValueError("needs either a 'field' or 'parts'")
        if self.checkpoints == "all" and (self.parts or self.over):
            raise ValueError("of all checkpoints, a field keeps its axis: without 'over'")
        return self

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that it reads."""
        return tuple(part.field for part in self.parts.values()) or (self.field,)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The measurements that it reduces."""
        same = self.model_dump(include={"metric", "checkpoints", "optimizers", "first_game"})
        return tuple(Source(experiment=name, **same) for name in self.experiments)
