"""The examples in the documentation: commands, configurations and Python, found by their marks."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tree import ROOT

from td_interference.planning.config import read_schema

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROFILES = sorted((ROOT / "workflow" / "profiles").glob("*/config.yaml"))
COMMENTED = [
    *(
        ROOT / name
        for name in ("Makefile", "config.yaml", "environment.yml", "requirements.hashes")
    ),
    *sorted((ROOT / "workflow" / "scales").glob("*.yaml")),
    *PROFILES,
]
PROGRAMS = ("snakemake", "td-interference", "make", "python", "pip", "conda", "sbatch", "git")


class Example(NamedTuple):
    """One of them."""

    place: str  # file and line
    # sh, yaml, python or text; sh of commands within a sentence as well, and there `options` alone
    language: str
    content: str

    @property
    def name(self) -> str:
        """How a test of it is called."""
        return f"{self.place}: {' '.join(self.content.split())[:60]}"


def commands(text: str) -> list[str]:
    """Commands of a shell block: one a line or between `&&`, without comments."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"\s&&\s", line):
            words = shlex.split(part, comments=True)
            if words:
                found.append(shlex.join(words))
    return found


def in_document(path: Path) -> list[Example]:
    """Every example of a document of ours, in order."""
    text, name, found = path.read_text(), path.relative_to(ROOT), []

    def place(position: int) -> str:
        return f"{name}:{text.count(chr(10), 0, position) + 1}"

    block = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    for match in block.finditer(text):
        if match[1] in {"sh", "bash", "console", "shell", ""}:
            found += [Example(place(match.start()), "sh", each) for each in commands(match[2])]
        else:
            found.append(Example(place(match.start()), match[1], match[2]))
    # Blocks are blanked out, so that places stay.
    prose = block.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    assert not re.search(r"^[ \t]+```|^(?: {4}|\t)[ \t]*\S", prose, flags=re.MULTILINE), (
        f"{name}: indented"
    )
    return found + in_sentences(prose, place)


def in_sentences(prose: str, place: Callable[[int], str]) -> list[Example]:
    """Those within backquotes; `place` says what file and line a position is in."""
    found = []
    for match in re.finditer(r"`([^`]+)`", prose):
        inline = " ".join(match[1].split())
        if re.match(rf"(?:{'|'.join(PROGRAMS)}|source|\.) \S", inline):
            found += [Example(place(match.start()), "sh", each) for each in commands(inline)]
        elif inline.startswith("--"):
            found.append(Example(place(match.start()), "options", inline))
        elif re.match(r"[a-z_.]+: \S", inline) and is_setting(inline):
            found.append(Example(place(match.start()), "yaml", inline))
    return found


def is_setting(inline: str) -> bool:
    """Whether `key: value` is of the configuration, at whatever depth."""

    def keys(schema: object) -> set[str]:
        if isinstance(schema, list):
            return set().union(*map(keys, schema))
        if not isinstance(schema, dict):
            return set()
        return set(schema.get("properties", ())).union(*map(keys, schema.values()))

    schema = read_schema(ROOT / "workflow")
    return inline.partition(":")[0].split(".")[0] in keys(schema)


def in_comments(path: Path) -> list[Example]:
    """Commands, options and indented settings in the comments of a file."""
    name = str(path.relative_to(ROOT))
    text = "\n".join(re.findall(r"^# ?(.*)$", path.read_text(), flags=re.MULTILINE)) + "\n"
    found = []
    for match in re.finditer(rf"^(?:{'|'.join(PROGRAMS)}) .*?(?=  |$)", text, flags=re.MULTILINE):
        found += [Example(name, "sh", each) for each in commands(match[0])]
    for match in re.finditer(r"--\w\S* '.*?'", text):
        found.append(Example(name, "options", match[0]))
    for match in re.finditer(r"(?<=\n\n)(?:  .*\n)+", text):
        found.append(Example(name, "yaml", match[0]))
    return found + in_sentences(text, lambda position: name)


def all_examples() -> list[Example]:
    """Those of all documents and comments, each command once."""
    examples = [each for path in DOCUMENTS for each in in_document(path)]
    examples += [each for path in COMMENTED for each in in_comments(path)]
    once: dict[tuple[str, str], Example] = {}
    for each in examples:
        once.setdefault((each.language, each.content), each)
    return list(once.values())
