"""What a file looks like, by its first bytes and its table of contents.

Nothing in a file is interpreted for this, and no library but the standard one sees it: a look at a
file from anywhere must be safe. Names inside HDF5 stand in it as plain text, so they are searched
for as bytes.
"""

import hashlib
import json
import os
import re
import stat
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from td_interference.errors import UserError, place_of, printable, rebuild
from td_interference.storage.expansion import TooLarge, check_memory

# What marks the project's own files: the beginning of HDF5, keys in the metadata of Parquet and
# safetensors (one, for safetensors writes several in an order that changes from run to run), and
# the digest that ends a resume state.
HDF5_SEAL = b"td-interference "
PARQUET_SEAL = "td-interference: SHA-256 of this file with 64 zeros in place of these digits"
EXPERT_KEY = "td_interference.expert"

_HDF5 = b"\x89HDF\r\n\x1a\n"
_TORCH_BEFORE_ZIP = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
_SEARCHED = 1 << 26  # bytes at either end of an HDF5 file in which names are searched for
_LARGEST_HEADER = 100_000_000  # bytes, as the safetensors library has it
_MEASURE = (
    "a network of any PyTorch code is measured in Python, by td_interference.gradients "
    '(README.md, "Measuring your own network")'
)
_NETWORK = f"build its network and load these weights; {_MEASURE}"
_DATA = f"its observations are what to measure a network on; {_MEASURE}"


class Looks(NamedTuple):
    """What a file is, as far as a look tells."""

    what: str  # with its article, as in "looks like ..."
    own: str = ""  # kind, where this project wrote it: "hdf5", "expert", "table", "resume"
    way: str = ""  # what its owner may want to do with it
    known: bool = True  # whether the format was recognised


def check_regular(path: Path | str) -> os.stat_result:
    """Return a file's status, once it is seen to be one that can be read to its end.

    Raises:
        UserError: If there is none, or it is a directory, a pipe or a device.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = getattr(error, "strerror", None) or str(error)
        said = "no such file" if missing else f"cannot be read ({reason})"
        raise UserError(f"{path}: {said}") from None
    kinds: dict[str, Callable[[int], bool]] = {
        "a directory": stat.S_ISDIR,
        "a named pipe": stat.S_ISFIFO,
        "a socket": stat.S_ISSOCK,
        "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    }
    for kind, is_it in kinds.items():
        if is_it(status.st_mode):
            raise UserError(f"{path}: is {kind}, not a file")
    return status


def read_whole(path: Path | str) -> bytes:
    """Return the bytes of a file, read in one go and without a lock.

    Raises:
        UserError: If it is no file, cannot be read, or does not fit into memory.
    """
    size = check_regular(path).st_size
    try:
        check_memory(size)  # a file with holes takes its whole size
        return Path(path).read_bytes()
    except (OSError, MemoryError, TooLarge) as error:
        reason = getattr(error, "strerror", None) or str(error) or "not enough memory"
        raise UserError(f"{path}: cannot be read ({reason})") from None


def refusal(path: Path | str, wanted: str) -> UserError:
    """Return the line on a file that is not what was wanted, by what it looks like instead.

    Nobody is told to delete what has no seal of this program, whoever made it.

    Args:
        path: A file that can be read.
        wanted: What should be there, with its article.
    """
    looks = look(path)
    if looks.own:
        what = f"is {looks.what} of td-interference, not {wanted}"
    elif looks.known:
        what = f"looks like {looks.what}, not {wanted} of td-interference"
    else:
        what = f"not {wanted} of td-interference ({looks.what})"
    way = looks.way or "give another file"
    if place_of(path) is not None:
        way = rebuild(path, made_here=False)
    return UserError(f"{path}: {what}; {way}")


def damaged(path: Path | str) -> UserError:
    """Return the line on a file of ours whose seal is not that of its bytes."""
    reason = "damaged: its bytes have not the SHA-256 that was written with them"
    return UserError(f"{path}: {reason}; {rebuild(path)}")


def look(path: Path | str) -> Looks:
    """Return what a file looks like.

    Raises:
        UserError: If it is no file, or cannot be read.
    """
    path = Path(path)
    size = check_regular(path).st_size
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(max(0, size - 65536))
            tail = file.read(65536)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        return Looks("an empty file: 0 bytes", known=False)
    if head.startswith(HDF5_SEAL):
        return Looks("an HDF5 file", own="hdf5")
    for found in (
        _hdf5(path, head, size),
        _parquet(head, tail),
        _zip(path, head),
        _safetensors(path, head, size),
        _by_signature(path, head),
        _text(path, head, size),
    ):
        if found is not None:
            return found
    if path.suffix == ".safetensors":
        return Looks("a damaged safetensors file: its header is not whole", known=False)
    return Looks("bytes of no format that it knows", known=False)


def _hdf5(path: Path, head: bytes, size: int) -> Looks | None:
    if head[257:262] == b"ustar":  # what is in an archive stands behind 512 bytes as well
        return None
    with path.open("rb") as file:
        for start in (0, *(512 << power for power in range(20))):  # behind a user block
            file.seek(start)
            if file.read(len(_HDF5)) == _HDF5:
                break
        else:
            return None
        if head.startswith(b"MATLAB 7.3"):
            return Looks("a MATLAB 7.3 file", way=_DATA)
        file.seek(0)
        content = file.read(_SEARCHED)
        file.seek(max(len(content), size - _SEARCHED))
        content += file.read(_SEARCHED)

    def names(*searched: str) -> bool:
        return all(name.encode() in content for name in searched)

    if names("episode_0", "observations", "terminations"):
        return Looks("a Minari data set (HDF5 of episodes)", way=_DATA)
    if names("observations", "rewards", "terminals"):
        return Looks("a d4rl data set (HDF5 of flat arrays)", way=_DATA)
    if names("model_weights") or names("keras_version"):
        return Looks("a Keras model (HDF5)", way=_MEASURE)
    return Looks("HDF5 without a seal: another program or an earlier version wrote it", way=_DATA)


def _parquet(head: bytes, tail: bytes) -> Looks | None:
    if not head.startswith(b"PAR1"):
        return None
    if PARQUET_SEAL.encode() in tail:
        return Looks("a table (Parquet)", own="table")
    whole = "" if tail.endswith(b"PAR1") else ", cut off at its end"
    return Looks(f"Parquet without a seal{whole}: another program or an earlier version wrote it")


def _zip(path: Path, head: bytes) -> Looks | None:
    if not head.startswith((b"PK\3\4", b"PK\5\6")):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # whatever zipfile raises on bytes that are not its own
        return Looks("a damaged zip archive (models and .npz files are such)")
    inner = {name.rpartition("/")[2] for name in names}
    if "_stable_baselines3_version" in names or {"data", "policy.pth"} <= set(names):
        return Looks("a model of stable-baselines3", way=f"its weights are policy.pth; {_NETWORK}")
    if "constants.pkl" in inner:
        return Looks("a network in TorchScript", way=_MEASURE)
    if "data.pkl" in inner:
        return _torch(path)
    if "model.weights.h5" in inner:
        return Looks("a Keras model", way=_MEASURE)
    if names and all(name.endswith(".npy") for name in names):
        arrays = ", ".join(printable(name.removesuffix(".npy")[:40]) for name in names[:6])
        more = ", ..." if len(names) > 6 else ""
        own = "as a data set to learn from, give it in the config key 'datasets.<name>.path'"
        return Looks(f"an .npz file of numpy ({arrays}{more})", way=f"{own}; {_DATA}")
    return Looks("a zip archive")


def _torch(path: Path) -> Looks:
    if path.suffix == ".cleanrl_model":
        return Looks("a model of CleanRL", way=_NETWORK)
    if re.fullmatch(r"state-\d+\.pt", path.name):
        with suppress(UserError):
            content = read_whole(path)
            if hashlib.sha256(content[:-32]).digest() == content[-32:]:
                return Looks("the resume state of a job", own="resume")
    return Looks("a checkpoint of PyTorch", way=_NETWORK)


def _safetensors(path: Path, head: bytes, size: int) -> Looks | None:
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or not 2 <= length <= min(size - 8, _LARGEST_HEADER):
        return None
    try:
        with path.open("rb") as file:
            file.seek(8)
            header = json.loads(file.read(length))
    except (ValueError, RecursionError):
        return None
    metadata = header.get("__metadata__")
    if isinstance(metadata, dict) and EXPERT_KEY in metadata:
        return Looks("an expert's weights (safetensors)", own="expert")
    count = len(header) - ("__metadata__" in header)
    return Looks(f"safetensors weights ({count} tensors)", way=_NETWORK)


_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x93NUMPY", "an .npy file of numpy", _DATA),
    (_TORCH_BEFORE_ZIP, "a checkpoint of PyTorch in its older format", _NETWORK),
    (b"MATLAB 5.0", "a MATLAB file", _DATA),
    (b"\x1f\x8b", "compressed by gzip", "uncompress it first"),
    (b"BZh", "compressed by bzip2", "uncompress it first"),
    (b"\xfd7zXZ", "compressed by xz", "uncompress it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstandard", "uncompress it first"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"%PDF", "a PDF", ""),
    (b"\x89PNG", "a PNG picture", ""),
    (b"\xff\xd8\xff", "a JPEG picture", ""),
    (b"GIF8", "a GIF picture", ""),
    (b"ARROW1", "an Arrow file", _DATA),
    (b"GGUF", "weights in GGUF", _MEASURE),
    (b"SQLite format 3", "an SQLite data base", ""),
    (b"\x7fELF", "a program", ""),
    (b"version https://git-lfs", "a pointer of Git LFS", "get the file itself with `git lfs pull`"),
)


def _by_signature(path: Path, head: bytes) -> Looks | None:
    for signature, what, way in _SIGNATURES:
        if head.startswith(signature):
            return Looks(what, way=way)
    if head[257:262] == b"ustar":
        return Looks("a tar archive", way="unpack it first")
    if re.match(rb"\x80[\x02-\x05]", head):
        return Looks("a Python pickle", way=f"reading it runs what is in it: {_MEASURE}")
    suffixes = {
        ".onnx": "a network in ONNX",
        ".msgpack": "msgpack, as Flax keeps weights",
        ".ckpt": "a checkpoint of another library",
    }
    if path.suffix in suffixes:
        return Looks(suffixes[path.suffix], way=_MEASURE)
    return None


def _text(path: Path, head: bytes, size: int) -> Looks | None:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else the head ends within a character
            return None
        text = head[: error.start].decode("utf-8")
    if any(c < " " and c not in "\t\n\r\f\x1b" for c in text):
        return None
    start = text.lstrip().lower()
    if start.startswith(("<!doctype html", "<html")):
        return Looks("a page of HTML, not the file that was asked for", way="download it again")
    if path.suffix in (".csv", ".tsv"):
        return Looks("a table in text (CSV)")
    return Looks("JSON" if start.startswith(("{", "[")) else "plain text")
