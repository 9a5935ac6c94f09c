"""Which games there are. Needs ale_py's list of ROMs alone, so that a dry run can ask."""

import difflib
import functools
import re
import unicodedata
import warnings
from pathlib import Path

from ale_py import roms

from td_interference.errors import UserError

# Games for two players at least; ALE's single-player interface ends the process on their ROMs.
_MULTIPLAYER = frozenset({"combat", "joust", "maze_craze", "warlords"})

_LIST_OF_GAMES = "https://ale.farama.org/environments/complete_list/"


@functools.cache
def games() -> tuple[str, ...]:
    """Return the names of all games for one player, sorted."""
    return tuple(sorted(set(roms.get_all_rom_ids()) - _MULTIPLAYER))


def check_game(game: str, key: str = "game") -> None:
    """Check that `game` is the name of one.

    Args:
        game: The name.
        key: Where it stands, for the message.

    Raises:
        UserError: If it is not (names the closest), or needs more than one player.
    """
    if game in _MULTIPLAYER:
        raise UserError(f"{key}: {game!r} needs two players; choose a game for one")
    if game not in games():
        close = difflib.get_close_matches(_snake_case(game), games(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UserError(f"{key}: unknown name {game!r}; {hint}All names: {_LIST_OF_GAMES}")


def _snake_case(game: str) -> str:
    """Return a name as ale-py has it of one as Gymnasium has it, "ALE/MsPacman-v5"."""
    letters = unicodedata.normalize("NFKC", game).strip()
    plain = re.sub(r"^ALE/|(NoFrameskip|Deterministic)?-v\d+$", "", letters)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[ -]+", "_", plain).lower()


def rom_path(game: str) -> Path:
    """Return the file of a game's ROM.

    Raises:
        UserError: No game has this name, or its ROM file is missing or damaged.
    """
    check_game(game)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = roms.get_rom_path(game)
    except OSError as error:
        raise UserError(
            f"game: the ROM of {game!r} cannot be read ({error}); reinstall ale-py, or correct "
            "the environment variable ALE_ROMS_DIR"
        ) from error
    assert path is not None, "ale_py lists the game, so it gives a path"
    return path
