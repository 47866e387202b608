"""How many files, folders and upward calls a reader meets when following one value.

``python tools/walks.py`` runs short renders of the bundled example and traces the calls between
the project's files. A hop is a pair of files of which one calls the other, counted once; a climb
is a hop to a file that imports, directly or not, the one that calls it. Another checkout is
measured with ``--root``; its own stand-in for ComfyUI (``tests/nodes``) is used.

The walk to the browser follows a value upwards, too: where a generator yields to another file,
that is a hop. What the decoder itself does, and what the page's scripts do, is not counted.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import inspect
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
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
        if event == "call" and frame.f_back is not None:
            self.add(frame.f_back, frame)

    def add(self, source: FrameType, target: FrameType) -> None:
        """Remember a hop between two files of the project."""
        pair = self._name(source), self._name(target)
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
    from flashtalk_core.cli.rendering import command as render
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


def preview_walk(root: Path, folder: Path) -> Walk:
    """From the first frames of the decoder to the first fragment with frames at a viewer."""
    from tests.nodes.conftest import Pack

    walk, pack = Walk(root), Pack()
    with pack.inserted():
        pack.load()
        pack["folder_paths"].use_base(folder)
        streams = pack[_streams_module(root)]
        chain = _chain(pack)
        tracer = _FrameTracer(walk)
        with _served(streams, walk) as port:
            _watch(streams.stream_sessions(), port)
            sys.setprofile(tracer.note)
            try:
                pack.run("StreamPreview", {"unique_id": "7"}, frames=chain, keep_gb=0.0)
            finally:
                sys.setprofile(None)
    assert tracer.state == "done", "no fragment reached the stream"
    return walk


class _FrameTracer:
    """Follows frames in the thread that renders, from the decoder to the stream."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.state = "waiting"
        self._is_decoding = False

    def note(self, frame: FrameType, event: str, arg: object) -> None:
        """Remember calls and yields between the two ends; a profile function."""
        if self.state == "done":
            return
        if frame.f_code.co_name == "decode_groups":
            self._is_decoding = event == "call"
            if event == "return" and arg is not None:
                self.state = "following"
        if self.state != "following" or self._is_decoding or frame.f_back is None:
            return
        is_generator = frame.f_code.co_flags & inspect.CO_GENERATOR
        if event == "return" and is_generator and arg is not None:
            self.walk.add(frame, frame.f_back)
        else:
            self.walk.note(frame, event, arg)
        if event == "return" and frame.f_code.co_qualname == "Broadcast.add":
            self.state = "done"
            sys.setprofile(None)


def _streams_module(root: Path) -> str:
    """Return where the route of the streams is in a checkout."""
    (file,) = (root / "nodes").rglob("streams.py")
    return ".".join(file.relative_to(root).with_suffix("").parts)


def _chain(pack: Any) -> Any:
    """Run all nodes before Stream Preview, for one chunk of the tiny model."""
    model = pack.run("ModelLoader").args[0]
    return pack.frames(model, pack.speech(1.12), chunk_frames=33)


@contextmanager
def _served(streams: Any, walk: Walk) -> Iterator[int]:
    """Serve the route in a thread that is traced; yield the port."""
    from aiohttp import web

    async def start() -> int:
        app = web.Application()
        app.router.add_get(streams.ROUTE, streams.serve_stream)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    def work() -> None:
        sys.setprofile(walk.note)
        loop.run_forever()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _watch(sessions: Any, port: int) -> None:
    """Have a viewer join each stream that opens, before it is returned."""
    open_stream = sessions.open

    def opened() -> tuple[str, Any]:
        session, stream = open_stream()
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("GET", f"/flashtalk/stream/{session}")
        threading.Thread(target=lambda: connection.getresponse().read(), daemon=True).start()
        while not stream.num_viewers:
            time.sleep(0.01)
        return session, stream

    sessions.open = opened


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
             "an audio window, to frames in the file": frame_walk,
             "a frame, from the decoder to the browser": preview_walk}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        lines = [describe(title, walk(root, Path(folder)), graph) for title, walk in walks.items()]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
