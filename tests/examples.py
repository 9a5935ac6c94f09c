"""The examples in the documentation: commands, configurations and Python, found by their marks."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import yaml
from tree import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROFILES = sorted((ROOT / "workflow" / "profiles").glob("*/config.yaml"))
PROGRAMS = ("snakemake", "td-interference", "make", "python", "pip", "conda", "sbatch", "git")


class Example(NamedTuple):
    """One of them."""

    place: str  # file and line
    language: str  # sh, yaml, python or text; sh of commands within a sentence as well
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
    # Within sentences; blocks are blanked out, so that places stay.
    prose = block.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    for match in re.finditer(r"`([^`]+)`", prose):
        inline = " ".join(match[1].split())
        if re.match(rf"(?:{'|'.join(PROGRAMS)}|source|\.) \S", inline):
            found += [Example(place(match.start()), "sh", each) for each in commands(inline)]
        elif re.match(r"[a-z_.]+: \S", inline) and is_setting(inline):
            found.append(Example(place(match.start()), "yaml", inline))
    return found


def is_setting(inline: str) -> bool:
    """Whether `key: value` is of the configuration, and not of something else."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    key = inline.partition(":")[0]
    return key.split(".")[0] in schema["properties"]


def in_profile(path: Path) -> list[Example]:
    """Commands in the comments of a profile."""
    found = re.finditer(r"^# (snakemake .*?)(?:  .*)?$", path.read_text(), flags=re.MULTILINE)
    return [Example(str(path.relative_to(ROOT)), "sh", each[1]) for each in found]


def all_examples() -> list[Example]:
    """Those of all documents and profiles, each command once."""
    examples = [each for path in DOCUMENTS for each in in_document(path)]
    examples += [each for path in PROFILES for each in in_profile(path)]
    once: dict[tuple[str, str], Example] = {}
    for each in examples:
        once.setdefault((each.language, each.content), each)
    return list(once.values())
