"""What a file says of itself beside its numbers: its identity, versions, and attributes in JSON."""

import json
import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import h5py
import numpy as np

from td_interference.storage.identity import Identity


@cache
def library_versions() -> dict[str, str]:
    """Return the versions of what decides a result's bits."""
    versions = {"python": platform.python_version()}
    for package in ("td-interference", "torch", "numpy", "ale-py", "h5py"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions


def identity_of(file: h5py.File) -> Identity:
    """Return what an open file says it is of; nothing, where it says nothing."""
    identity = parse_attributes(file).get("identity")
    return identity if isinstance(identity, dict) else {}


def parse_attributes(file: h5py.File) -> dict[str, Any]:
    """Return the attributes of an open file or group, JSON ones parsed."""
    attributes = {}
    for name, value in file.attrs.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, str) and plain[:1] in ("{", "["):
            # Text that only looks like JSON stays text.
            with suppress(ValueError, RecursionError):
                plain = json.loads(plain)
        attributes[name] = plain
    return attributes
