"""YAML files as their authors meant them: each key once, and no more values than a person writes.

Needs only what Snakemake itself needs (yaml), for it is imported at every dry run.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from td_interference.errors import UserError
from td_interference.storage.recognition import check_regular

MOST_VALUES = 100_000  # of a configuration; ours have some hundreds
MOST_LEVELS = 100  # of blocks in blocks; ours have four

# The one in C is six times as fast and tells the same tags from each other.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Fault(Exception):
    """What is wrong with a text, without the name of its file."""


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Return the mapping in a YAML (or JSON) file; tags that would build objects are refused.

    Args:
        path: The file.

    Raises:
        UserError: If the file is missing, is no YAML, holds no mapping, has a key twice in one
            block, or refers to itself so often that its values would fill the memory.
    """
    text = _text(Path(path))
    try:
        content = _content(text)
    except _Fault as fault:
        raise UserError(f"{path}: {fault}") from None
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
        try:
            root = _root(value)
            _check(root, key)
        except _Fault as fault:
            raise UserError(f"--config {key}=…: {fault}") from None
        except yaml.YAMLError:
            root = None  # Snakemake takes what is no YAML for a text
        is_block = isinstance(root, yaml.MappingNode)
        if key in blocks and not (is_block and blocks[key]):
            raise UserError(f"--config {key}=…: the key '{key}' stands twice; remove one")
        blocks[key] = is_block


def check_call(arguments: Iterable[str]) -> None:
    """See that a call names its settings in one place, for Snakemake takes the last one alone.

    Args:
        arguments: Of Snakemake's command line.

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
    own, or else that of the project.

    Args:
        project: The directory with the Snakefile.
        working_directory: Where Snakemake works.
    """
    name = "config.yaml"
    return name if (Path(working_directory) / name).exists() else str(Path(project) / name)


def _text(path: Path) -> str:
    check_regular(path)  # a pipe would be waited for
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # bytes that are no UTF-8
        raise UserError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from None


def _content(text: str) -> Any:
    """Return what a text holds, after a look at its nodes.

    Raises:
        _Fault: If it is no YAML, or as `_check`.
    """
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return {}
            _check(root)
            return loader.construct_document(root)
        finally:
            loader.dispose()
    # ValueError: a date that is none, a number of thousands of digits.
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        if _is_json_with_tabs(text):
            return _content(text.replace("\t", " "))
        raise _Fault(f"not a YAML file ({' '.join(str(error).split())})") from None


def _is_json_with_tabs(text: str) -> bool:
    """Tell whether only tabs, which JSON allows between values, keep a text from being YAML."""
    if "\t" not in text:
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _root(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


def _is_of_another_base(node: yaml.ScalarNode) -> bool:
    """Tell whether YAML reads a number as octal (010) or in sixties (1:30), unlike most people."""
    number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    return number and re.fullmatch(r"[-+]?0[0-7_]+|.*:.*", node.value) is not None


def _check(root: yaml.Node | None, above: str = "") -> None:
    """Look at the nodes of a text, each once, however often aliases name it.

    Args:
        root: Of the text.
        above: The key that it is the value of.

    Raises:
        _Fault: If a key stands twice in one mapping, the values are too many, or a number is
            written as few would mean it.
    """
    sizes: dict[int, int] = {}  # of what a node unfolds to; 0 while that is not known

    def size(node: yaml.Node, path: str) -> int:
        if id(node) in sizes:
            if not sizes[id(node)]:
                raise _Fault(f"the YAML alias in '{path}' stands in what it refers to")
            return sizes[id(node)]
        sizes[id(node)] = 0
        total = 1
        if isinstance(node, yaml.ScalarNode) and _is_of_another_base(node):
            raise _Fault(
                f"{node.value} in '{path}' means {yaml.safe_load(node.value)} in YAML; write the "
                "number that is meant without a 0 before it and without ':'"
            )
        if isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
                below = f"{path}.{name}" if path else name
                if isinstance(key, yaml.ScalarNode):
                    line = key.start_mark.line + 1
                    if (first := lines.get((key.tag, key.value))) is not None:
                        where = f"lines {first} and {line}" if first < line else f"line {line}"
                        raise _Fault(
                            f"the key '{below}' stands twice, in {where}; join the two, or remove "
                            "one"
                        )
                    lines[key.tag, key.value] = line
                total += size(key, below) + size(value, below)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size(item, path) for item in node.value)
        if total > MOST_VALUES:
            raise _Fault(
                f"more than {MOST_VALUES:,} values in '{path}', most of them by YAML aliases "
                "(*name); write out what is meant"
            )
        sizes[id(node)] = total
        return total

    if root is not None:
        size(root, above)
