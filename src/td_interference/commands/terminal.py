"""What a person reads on the terminal: lines as they are, and tables that are never cut."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from td_interference.errors import printable

_WIDEST = 100_000  # characters; no terminal is wider


def say(line: str = "") -> None:
    """Print one line as it is: nothing in it is markup, and any terminal can show it."""
    print(printable(line))


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; for other programs as lines with tabs, and so where it is too wide."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        table = Table(title=Text(printable(title)), title_justify="left")
        for column in columns:
            table.add_column(Text(column), no_wrap=True)
        for row in cells:
            table.add_row(*map(Text, row))
        console = Console()
        whole = Measurement.get(console, console.options.update(width=_WIDEST), table).maximum
        if whole <= console.width:
            console.print(table)
            return
    if title:
        print(f"# {printable(title)}")
    for row in [list(columns), *cells]:
        print("\t".join(row).rstrip("\t"))


def show_facts(title: str, facts: Sequence[tuple[str, str]]) -> None:
    """Print what is known of one thing, a line for each name and fact."""
    say(title)
    widest = max((len(name) for name, _ in facts), default=0)
    for name, fact in facts:
        separator = "\t" if not sys.stdout.isatty() else " " * (widest - len(name) + 2)
        print(f"{printable(name)}{separator}{printable(fact)}")
