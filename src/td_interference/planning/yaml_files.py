"""YAML files as their authors meant them: each key once, no more values than a person writes."""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from td_interference.errors import UserError
from td_interference.storage.recognition import read_whole

_MOST_VALUES = 100_000  # of a configuration; ours have some hundreds

# The one in C is six times as fast and tells the same tags from each other.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Return the mapping in a YAML (or JSON) file; tags that would build objects are refused.

    Raises:
        UserError: If the file is missing, is no YAML, holds no mapping, has a key twice in one
            block, or refers to itself so often that its values would fill the memory.
    """
    content = _content(read_whole(path), str(path))
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping of keys to values at the top")
    return content


def check_configuration(files: Iterable[Path | str], settings: Iterable[str] = ()) -> None:
    """Look at what Snakemake was given before its content is used.

    Snakemake takes the last of two equal keys without a word.

    Args:
        files: Configuration files, YAML or JSON; what is missing is left to Snakemake.
        settings: Of the command line's --config, "key=value" each, the value in YAML.

    Raises:
        UserError: As `read_yaml`.
    """
    for file in files:
        if Path(file).is_file():
            read_yaml(file)
    blocks: dict[str, bool] = {}  # whether a key's value was a mapping: Snakemake joins those
    for setting in settings:
        key, _, value = setting.partition("=")
        where = f"--config {key}=…"
        try:
            root = yaml.compose(value, Loader=_Loader)
        except yaml.YAMLError:
            root = None  # Snakemake takes what is no YAML for a text
        _check(root, where, key)
        is_block = isinstance(root, yaml.MappingNode)
        if key in blocks and not (is_block and blocks[key]):
            raise UserError(f"{where}: the key '{key}' stands twice; remove one")
        blocks[key] = is_block


def check_call(arguments: Iterable[str]) -> None:
    """See that Snakemake's arguments name settings in one place, for it takes the last one alone.

    Raises:
        UserError: If --config or --configfile stands there twice.
    """
    words = [argument.partition("=")[0] for argument in arguments]
    for names in (("--config", "-C"), ("--configfile", "--configfiles")):
        if sum(word in names for word in words) > 1:
            raise UserError(
                f"{names[0]} stands twice, and Snakemake takes the last alone; name all that "
                f"belongs to it after one {names[0]}"
            )


def main_file(project: Path | str, working_directory: Path | str = Path()) -> str:
    """Return the configuration file that a call goes by.

    It is `config.yaml` where Snakemake works, so that such a directory can have settings of its
    own, or else that of the project, beside the Snakefile.
    """
    name = "config.yaml"
    return name if (Path(working_directory) / name).exists() else str(Path(project) / name)


def _content(text: bytes, file: str) -> Any:
    """Return what the text of a file holds, after a look at its nodes."""
    try:
        root = yaml.compose(text.decode("utf-8"), Loader=_Loader)
        _check(root, file)
        return {} if root is None else yaml.constructor.SafeConstructor().construct_document(root)
    # ValueError: bytes that are no UTF-8, a date that is none, a number of thousands of digits.
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        with suppress(ValueError, RecursionError):
            json.loads(text)  # in which tabs may stand between values
            if b"\t" in text:
                return _content(text.replace(b"\t", b" "), file)
        raise UserError(f"{file}: not a YAML file ({' '.join(str(error).split())})") from None


def _is_of_another_base(node: yaml.ScalarNode) -> bool:
    """Tell whether YAML reads a number as octal (010) or in sixties (1:30), unlike most people."""
    number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    return number and re.fullmatch(r"[-+]?0[0-7_]+|.*:.*", node.value) is not None


def _check(root: yaml.Node | None, where: str, above: str = "") -> None:
    """Look at the nodes of a text below the key `above`, each once, however often aliases name it.

    Raises:
        UserError: If a key stands twice in one mapping, the values are too many, or a number is
            written as few would mean it.
    """
    sizes: dict[int, int] = {}  # of what a node unfolds to; 0 while that is not known

    def size(node: yaml.Node, path: str) -> int:
        if id(node) in sizes:
            if not sizes[id(node)]:
                raise UserError(f"{where}: the YAML alias in '{path}' stands in what it refers to")
            return sizes[id(node)]
        sizes[id(node)] = 0
        total = 1
        if isinstance(node, yaml.ScalarNode) and _is_of_another_base(node):
            raise UserError(
                f"{where}: {node.value} in '{path}' means {yaml.safe_load(node.value)} in YAML; "
                "write the number that is meant without a 0 before it and without ':'"
            )
        if isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
                below = f"{path}.{name}" if path else name
                if isinstance(key, yaml.ScalarNode):
                    line = key.start_mark.line + 1
                    if (first := lines.get((key.tag, key.value))) is not None:
                        lines_of = f"lines {first} and" if first < line else "line"
                        raise UserError(
                            f"{where}: the key '{below}' stands twice, in {lines_of} {line}; join "
                            "the two, or remove one"
                        )
                    lines[key.tag, key.value] = line
                total += size(key, below) + size(value, below)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size(item, path) for item in node.value)
        if total > _MOST_VALUES:
            raise UserError(
                f"{where}: more than {_MOST_VALUES:,} values in '{path}', most of them by YAML "
                "aliases (*name); write out what is meant"
            )
        sizes[id(node)] = total
        return total

    if root is not None:
        size(root, above)
