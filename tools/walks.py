"""How many files, folders and upward calls a reader meets when following one value.

``python tools/walks.py`` runs short renders of the bundled example and traces the calls between
the project's files. A hop is a pair of files of which one calls the other, counted once; a climb
is a hop to a file that imports, directly or not, the one that calls it. Another checkout is
measured with ``--root``.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGES = ("flashtalk_core", "flashtalk_training", "nodes")
CODE = ("<", "__init__.py")
"""Beginnings and names of files that are no place to read."""


@dataclass
class Walk:
    """Calls between files while something runs."""

    root: Path
    hops: set[tuple[str, str]] = field(default_factory=set)

    def note(self, frame: FrameType, event: str, _arg: object) -> None:
        """Remember a call from one file of the project to another; a profile function."""
        if event != "call" or frame.f_back is None:
            return
        pair = self._name(frame.f_back), self._name(frame)
        if all(pair) and pair[0] != pair[1]:
            self.hops.add((str(pair[0]), str(pair[1])))

    def _name(self, frame: FrameType) -> str | None:
        path = Path(frame.f_code.co_filename)
        if not path.is_relative_to(self.root) or path.name == "__init__.py":
            return None
        relative = path.relative_to(self.root)
        return relative.as_posix() if relative.parts[0] in PACKAGES else None

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Trace this thread."""
        sys.setprofile(self.note)
        try:
            yield
        finally:
            sys.setprofile(None)


def imports(root: Path) -> dict[str, set[str]]:
    """Return the files that each file of the packages imports."""
    files = [file for name in PACKAGES for file in (root / name).rglob("*.py")]
    known = {_module(file, root): file.relative_to(root).as_posix() for file in files}
    found: dict[str, set[str]] = {}
    for file in files:
        name = file.relative_to(root).as_posix()
        package = list(file.relative_to(root).parent.parts)
        found[name] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
                found[name] |= {known[each] for each in names if each in known} - {name}
    return found


def _module(file: Path, root: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def below(graph: dict[str, set[str]], name: str) -> set[str]:
    """Return everything that a file imports, directly or not."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for each in graph.get(waiting.pop(), set()) - seen:
            seen.add(each)
            waiting.append(each)
    return seen


def describe(title: str, walk: Walk, graph: dict[str, set[str]]) -> str:
    """Return one line about a walk."""
    files = {name for hop in walk.hops for name in hop}
    folders = {name.rpartition("/")[0] for name in files}
    climbs = [hop for hop in walk.hops if hop[0] in below(graph, hop[1])]
    return (
        f"{title}: {len(files)} files, {len(folders)} folders, {len(walk.hops)} hops, "
        f"{len(climbs)} climbs"
    )


def settings_walk(root: Path, folder: Path) -> Walk:
    """From the arguments to the plan: until a render begins."""
    from flashtalk_core.cli import render
    from flashtalk_core.engine import render as engine

    walk = Walk(root)
    _render(folder, walk, lambda: _until(render, engine, "open_writer"))
    return walk


def frame_walk(root: Path, folder: Path) -> Walk:
    """From the first audio window to the last frame of the file."""
    from flashtalk_core.engine import render as engine

    walk = Walk(root)
    original = engine.render_video

    def traced(*args: Any, **settings: Any) -> None:
        with walk.traced():
            original(*args, **settings)

    engine.render_video = traced
    try:
        _run(folder)
    finally:
        engine.render_video = original
    return walk


class _Reached(BaseException):
    """The walk is over."""


def _until(_render: Any, engine: Any, name: str) -> Callable[[], None]:
    original = getattr(engine, name)

    def stop(*_args: Any, **_settings: Any) -> None:
        raise _Reached

    setattr(engine, name, stop)
    return lambda: setattr(engine, name, original)


def _render(folder: Path, walk: Walk, prepare: Callable[[], Callable[[], None]]) -> None:
    restore = prepare()
    try:
        with walk.traced():
            _run(folder)
    except _Reached:
        pass
    finally:
        restore()


def _run(folder: Path) -> None:
    from flashtalk_core.cli.main import main

    main(["render", "-o", str(folder / "walk.mp4"), "--duration", "1.2", "--steps", "1"])


def main() -> None:
    """Print the walks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1])
    root = parser.parse_args().root.resolve()
    sys.path.insert(0, str(root))
    graph = imports(root)
    walks = {"a setting, from the command line to the plan": settings_walk,
             "an audio window, to frames in the file": frame_walk}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        lines = [describe(title, walk(root, Path(folder)), graph) for title, walk in walks.items()]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
