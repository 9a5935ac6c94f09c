"""Which code a result depends on, found by following imports, and one digest of it.

The cheap stages (metrics, tables, figures, studies of random networks) hand this digest to
Snakemake as a parameter, so that a changed statement in any module they import, directly or not,
makes their results stale. It is of statements: comments, docstrings, formatting and the time of a
file's last change are not in it, nor is where the project lies.

Of a card (see `planning.cards`) only what measurements are kept as counts: the rest is words for
people, or reaches results through their parameters.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

# Where following imports ends: what decides how a job runs, is kept and speaks, or whose say
# reaches a result in another way that is noticed.
PLUMBING = {
    "__init__.py": "holds the version, which every file names",
    "errors.py": "words for people",
    "calls.py": "words for people",
    "commands/": "words for people",
    "jobs/": "how a job runs, goes on and ends; with the same bits",
    "storage/": "how numbers are kept; each kind of file has a schema version",
    "planning/": "what it describes is a parameter of who computes it",
    **{
        f"{folder}/__init__.py": "a registry: a new name changes none of the others"
        for folder in ("metrics", "tables", "figures", "objectives", "datasets")
    },
}
# But for the names of runs and of random streams, and as what a run of control is measured.
_FOLLOWED = [f"planning/{name}.py" for name in ("cells", "digits", "grid", "runs", "studies")]

# Of these cards nothing counts where they stand: all of it is a parameter or an input of what it
# describes, or counts where it is read (`cards.read`).
_PARAMETERS = ("FIGURE", "TABLES", "MEANS", "OBJECTIVE", "DATASET", "LEARNER")
# Of this one all but these keys, which are words for people, or parameters.
_MEASURED = "METRIC"
_OF_NO_NUMBER = (
    *("title", "source", "about", "formula", "departures", "unit", "description", "settings"),
    *("checkpoints", "environment", "rules", "measurable", "copies"),
)


def digest(*roots: Path | str, package: Path = _PACKAGE) -> str:
    """Return one SHA-256 of the statements in some Python files and all they import from here.

    Args:
        roots: Files; those of the package also by their names in it ("metrics/gain.py").
        package: Directory of the package.

    Raises:
        OSError: If a root cannot be read.
        SyntaxError: If a file is no Python.
    """
    _, others = _split(roots, package)
    found = {name: _parsed(package / name) for name in followed(*roots, package=package)}
    outside = [_parsed(path) for path in sorted(others)]
    read = sorted({wanted for module in (*found.values(), *outside) for wanted in module.reads})
    # The place of a file outside of the package is not part of what it says.
    parts = [
        *sorted((name, module.digest) for name, module in found.items()),
        *(("", module.digest) for module in outside),
        *((f"{folder}/{word}", _cards(package / folder, word)) for folder, word in read),
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def followed(*roots: Path | str, package: Path = _PACKAGE) -> list[str]:
    """Return the modules of the package that some files depend on, themselves included, sorted.

    They are named as in "metrics/gain.py". `PLUMBING` is among them only if it is a root.
    """
    own, others = _split(roots, package)
    found = set(own)
    waiting = [package / name for name in own] + others
    while waiting:
        path = waiting.pop()
        for name in _imported_files(path.read_bytes(), path, package):
            if name not in found:
                found.add(name)
                waiting.append(package / name)
    return sorted(found)


@cache
def _imported_files(text: bytes, path: Path, package: Path) -> tuple[str, ...]:
    """Return the files that a file with this text runs by its imports, without `PLUMBING`."""
    modules = (".", *parse(text).imports)  # a module's packages run before it
    files = (name for module in modules for name in _files(module, path, package))
    return tuple(dict.fromkeys(name for name in files if not _is_plumbing(name)))


def _split(roots: tuple[Path | str, ...], package: Path) -> tuple[list[str], list[Path]]:
    """Return the roots in the package by name, and the others."""
    own, others = [], []
    for root in roots:
        path = package / root if isinstance(root, str) else root
        if path.is_relative_to(package):
            own.append(path.relative_to(package).as_posix())
        else:
            others.append(path)
    return own, others


def _cards(folder: Path, word: str) -> list[tuple[str, str]]:
    """Return the name and text of each card that `cards.read` finds in a folder."""
    modules = {path.name: _parsed(path) for path in sorted(folder.glob("[a-z]*.py"))}
    return [
        (name, ast.unparse(own.assigned[word]))
        for name, own in modules.items()
        if word in own.assigned
    ]


def _is_plumbing(name: str) -> bool:
    return name not in _FOLLOWED and name.startswith(tuple(PLUMBING))


def _files(module: str, importer: Path, package: Path) -> Iterator[str]:
    """Yield the files of the package that importing a module runs: its packages' and its own.

    One that begins with a dot is relative to the importer; a last part may be a name in a module.
    """
    name = module.lstrip(".")
    parts = name.split(".") if name else []
    if up := len(module) - len(name):
        if not importer.is_relative_to(package):
            return
        parents = importer.relative_to(package).parts
        parts = [*parents[: len(parents) - up], *parts]
    elif parts[0] == package.name:
        parts = parts[1:]
    else:
        return
    for depth in range(len(parts) + 1):
        path = package.joinpath(*parts[:depth])
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file != package.with_suffix(".py") and file.is_file():
                yield file.relative_to(package).as_posix()


class Parsed:
    """What one file's text says.

    Attributes:
        assigned: The expression of each name that it assigns at its top level.
        functions: Names of those at its top level.
    """

    def __init__(self, text: bytes):
        """Parse a file.

        Raises:
            SyntaxError: If it is no Python.
        """
        self._tree = ast.parse(text)
        self.functions = {node.name for node in self._tree.body if type(node) is ast.FunctionDef}
        self.assigned = {
            target.id: node.value
            for node in self._tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its statements."""
        cards = {self.assigned.get(word): word for word in (_MEASURED, *_PARAMETERS)}
        words: list[str] = []
        for node in self._tree.body:
            card = cards.get(node.value) if isinstance(node, ast.Assign) else None
            if card == _MEASURED:
                _collect(_of_numbers(node.value), words)  # type: ignore[attr-defined]
            elif card is None:
                _collect(node, words)
        return hashlib.sha256("\0".join(words).encode()).hexdigest()

    @cached_property
    def _nodes(self) -> list[ast.AST]:
        kinds = (ast.Import, ast.ImportFrom, ast.Call)
        return [node for node in ast.walk(self._tree) if isinstance(node, kinds)]

    @cached_property
    def imports(self) -> list[str]:
        """Modules that it imports anywhere in it, also in functions, with dots.

        Of names that it takes from a module, whose own file they may have, module and name.
        """
        return sorted({name for node in self._nodes for name in _imported(node)})

    @cached_property
    def reads(self) -> list[tuple[str, str]]:
        """Folder and word of the cards that it reads by `cards.read`."""
        return sorted({wanted for node in self._nodes for wanted in _read_cards(node)})


def _parsed(path: Path) -> Parsed:
    return parse(path.read_bytes())


@cache
def parse(text: bytes) -> Parsed:
    """Return what a file's text says; each text is parsed once.

    Raises:
        SyntaxError: If it is no Python.
    """
    return Parsed(text)


def _of_numbers(card: ast.expr) -> object:
    """Return what a metric's card says of how its numbers are kept."""
    if not isinstance(card, ast.Dict):
        return card
    return [
        [key, _of_numbers(value)]
        for key, value in zip(card.keys, card.values, strict=True)
        if not (isinstance(key, ast.Constant) and key.value in _OF_NO_NUMBER)
    ]


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        dot = "." if node.module else ""
        yield from (f"{module}{dot}{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            yield node.args[0].value


def _read_cards(node: ast.AST) -> Iterator[tuple[str, str]]:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return
    # Every call of a tree comes here, and to write one out takes its time.
    if node.func.attr == "read" and ast.unparse(node.func) == "cards.read":
        folder, word = (ast.literal_eval(argument) for argument in node.args[:2])
        yield folder, word


def _collect(node: object, words: list[str]) -> None:
    """Append what a syntax tree says, the same for every version of Python.

    `ast.dump` writes empty fields in some versions and not in others.
    """
    if isinstance(node, ast.AST):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        words.append(type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                words.append(name)
                _collect(value, words)
        words.append(")")
    elif isinstance(node, list):
        for item in node:
            _collect(item, words)
        words.append("]")
    else:
        words.append(repr(node))
