"""Lines of a report on this machine, and packages that are found without importing them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """A package that is looked for."""

    module: str
    distribution: str
    use: str
    """What it is for, or what it would bring."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    found: bool
    detail: str


def look_for(package: Package) -> Finding:
    """Find a package without importing it."""
    if importlib.util.find_spec(package.module) is None:
        return Finding(package.distribution, False, package.use)
    try:
        version = importlib.metadata.version(package.distribution)
    except importlib.metadata.PackageNotFoundError:
        version = "unknown version"  # the module comes from another distribution
    return Finding(package.distribution, True, f"{version}: {package.use}")
