"""Which module imports which, read from the source: TYPE_CHECKING and functions count too."""

import ast
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]
MOST_FILES = 14
"""In one folder, not counting ``__init__.py``."""
PACKAGES = ("flashtalk_core", "flashtalk_training", "nodes")
LONGEST_PUBLISHED = 16
"""Modules on the longest import chain of the core and the nodes."""
LONGEST = 19
"""The same with training."""


def modules(package: str) -> dict[str, Path]:
    """Return the files of a package by module name, from the root of the project."""
    files = (ROOT / package).rglob("*.py")
    parts = {file: file.relative_to(ROOT).with_suffix("").parts for file in files}
    return {".".join(part).removesuffix(".__init__"): file for file, part in parts.items()}


def imported(name: str, file: Path, known: Collection[str]) -> Iterator[str]:
    """Yield what a file imports, as absolute names.

    Of ``from a import b`` it is ``a.b`` if that is one of ``known``, else ``a``, a module or a
    package with names of its own.
    """
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = (f"{base}.{alias.name}" for alias in node.names)
            yield from (each if each in known else base for each in names)


@cache
def graph() -> dict[str, set[str]]:
    """Return the modules that each module imports."""
    known = {name: file for package in PACKAGES for name, file in modules(package).items()}
    found = {}
    for name, file in known.items():
        found[name] = set(imported(name, file, known.keys())) & known.keys() - {name}
    return found


def longest_chain(*packages: str) -> list[str]:
    """Return the longest chain of imports, each module imported by the one before it."""
    chains: dict[str, list[str]] = {}
    for name in TopologicalSorter(graph()).static_order():
        if name.split(".")[0] in packages:
            below = (chains[one] for one in sorted(graph()[name]) if one in chains)
            chains[name] = [name, *max(below, key=len, default=[])]
    return max(chains.values(), key=len)


@pytest.mark.parametrize(
    ("packages", "limit"),
    [(("flashtalk_core", "nodes"), LONGEST_PUBLISHED), (PACKAGES, LONGEST)],
)
def test_no_import_chain_is_longer_than_its_limit(packages, limit):
    chain = longest_chain(*packages)
    assert len(chain) <= limit, " -> ".join(chain)


def test_no_modules_import_each_other():
    try:
        order = list(TopologicalSorter(graph()).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert len(order) > 200


def test_the_core_never_imports_nodes():
    core = modules("flashtalk_core")
    assert not {name for name in core if any(one.startswith("nodes") for one in graph()[name])}


def test_no_folder_is_wide():
    folders = Counter(file.parent for name in PACKAGES for file in modules(name).values())
    wide = {str(folder.relative_to(ROOT)): count for folder, count in folders.items()}
    assert {name: count for name, count in wide.items() if count > MOST_FILES + 1} == {}
