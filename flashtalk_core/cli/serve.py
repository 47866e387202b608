"""``serve``: talk to an avatar; a server for live sessions."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidInputError, OutputError, require
from ..packages import missing_package
from .live_options import add_chunks
from .rendering.command import open_engine
from .rendering.device_options import add_device_options, limits_of
from .rendering.render_options import OF_FILES_ONLY, add_avatar_options, parse_path, read_spec

if TYPE_CHECKING:
    from ..engine.plan import Engine, RenderPlan
    from ..serve.app import LiveApp
    from ..serve.hub import LiveHub
    from ..serve.limits import ServerLimits
    from ..serve.session import Detector

logger = logging.getLogger(__name__)

_TOKEN = "FLASHTALK_TOKEN"
_SHUTDOWN_S = 5.0
"""How long requests may take to end once their sessions have."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "talk to an avatar: live sound in, video out, on one TCP port"
    parser = subparsers.add_parser("serve", help=text, description=text)
    _add_server_options(parser)
    _add_live_options(parser)
    add_avatar_options(parser)
    add_device_options(parser)
    parser.set_defaults(run=run, **OF_FILES_ONLY)


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("server")
    group.add_argument("--host", default="127.0.0.1", help="address to listen at")
    group.add_argument("--port", type=int, default=8190, help="0 is any that is free")
    group.add_argument(
        "--token",
        default=os.environ.get(_TOKEN, ""),
        help=f"that clients must send; needed unless the host is loopback; default: ${_TOKEN}",
    )
    group.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="page of another site that may use the server, https://example.org; may be repeated",
    )
    group.add_argument("--tls-cert", type=parse_path, help="certificate, PEM; makes it https")
    group.add_argument("--tls-key", type=parse_path, help="its key, PEM")
    group.add_argument(
        "--ice-server",
        action="append",
        default=[],
        metavar="URL",
        help="stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT for WebRTC; default: none is asked",
    )
    group.add_argument("--sessions", type=int, help="most sessions; default: 4 a speaker")
    group.add_argument("--session-limit", type=float, default=3600.0, help="longest session, s")
    group.add_argument("--idle-limit", type=float, default=300.0, help="longest silence, s")
    group.add_argument("--reconnect", type=float, default=30.0, help="wait for a lost client, s")
    group.add_argument(
        "--record", type=parse_path, metavar="FOLDER", help="write what each session showed, .mp4"
    )


def _add_live_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("live")
    add_chunks(group)
    group.add_argument(
        "--vad",
        action="store_true",
        help="microphones: the gate asks the network silero-vad as well, an optional package",
    )
    group.add_argument(
        "--allow-slow", action="store_true", help="start though chunks take longer than they last"
    )


def run(args: argparse.Namespace) -> int:
    """Check everything, load, serve until it is stopped."""
    try:
        import aiohttp  # noqa: F401
    except ImportError as error:
        raise InvalidInputError(missing_package("aiohttp")) from error
    from ..engine.events import NO_EVENTS
    from ..live.audio.silero import find_silero
    from ..live.chunks import live_chunks
    from ..live.decide import Policy
    from ..live.plan import plan_live
    from ..serve.access import Access
    from ..serve.app import LiveApp
    from ..serve.limits import ServerLimits
    from ..serve.page_files import find_page
    from ..serve.webrtc.ice import IceServer

    access = Access(host=args.host, token=args.token, origins=tuple(args.allow_origin))
    ice_servers = [IceServer.parse(text) for text in args.ice_server]
    tls = _tls(args)
    require(0 <= args.port <= 65_535, f"port {args.port}: use 0 to 65535")
    limits = ServerLimits(
        sessions=args.sessions,
        session_s=args.session_limit,
        idle_s=args.idle_limit,
        reconnect_s=args.reconnect,
    )
    args.port = asyncio.run(_find_port(args))
    if args.record is not None:
        _make_folder(args.record)
    detector = find_silero() if args.vad else None
    plan = plan_live(read_spec(args))
    live_chunks(plan.chunk, args.chunk_frames, Policy(look_ahead=args.look_ahead).look_ahead)
    with open_engine(plan, NO_EVENTS, limits_of(args)) as opened, _shared(opened) as engine:
        hub = _hub(args, plan, engine, limits, detector)
        logger.info("drawing the idle frames, and measuring chunks")
        hub.start()
        _listen(LiveApp(hub, access, find_page(), ice_servers), hub, args, tls)
    return 0


def _shared(engine: Engine) -> AbstractContextManager[Engine]:
    """Return the engine for portraits that are open at once; several devices render one plan."""
    from ..runtime.fleet import Fleet

    return engine.share() if isinstance(engine, Fleet) else nullcontext(engine)


async def _find_port(args: argparse.Namespace) -> int:
    """Listen for a moment, so that a port that is taken is told before weights are read.

    Returns:
        The port, one that is free for 0.
    """
    with _listening(args):
        server = await asyncio.start_server(lambda *_: None, args.host, args.port)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


@contextmanager
def _listening(args: argparse.Namespace) -> Iterator[None]:
    """Say what is wrong with an address that cannot be listened at."""
    try:
        yield
    except OSError as error:
        raise InvalidInputError(
            f"--host {args.host} --port {args.port}: the server cannot listen there "
            f"({error.strerror}); use another --port, 0 for any that is free, or --host 127.0.0.1"
        ) from error


def _hub(
    args: argparse.Namespace,
    plan: RenderPlan,
    engine: Engine,
    limits: ServerLimits,
    detector: Detector | None,
) -> LiveHub:
    from ..engine.resolve import LocalHost
    from ..serve.avatars import Avatars
    from ..serve.hub import LiveHub

    faces = LocalHost().find_face_detector(args.face_detector)
    avatars = Avatars(plan, engine, args.chunk_frames, faces)
    return LiveHub(
        avatars,
        limits,
        look_ahead=args.look_ahead,
        record=args.record,
        allow_slow=args.allow_slow,
        detector=detector,
    )


def _listen(
    live: LiveApp, hub: LiveHub, args: argparse.Namespace, tls: ssl.SSLContext | None
) -> None:
    from aiohttp import web

    def say_where(*_: object) -> None:  # called once it listens
        host = f"[{args.host}]" if ":" in args.host else args.host
        logger.info(
            "%s://%s:%d: a chunk takes %.2f times its length; %d may speak at a time, in %d "
            "sessions at most",
            "http" if tls is None else "https", host, args.port,
            hub.factor, hub.capacity, hub.max_sessions,
        )  # fmt: skip

    app = live.make()
    # Since it was tried, another program may have come there.
    with _listening(args), _without_junk():
        try:
            web.run_app(
                app,
                host=args.host,
                port=args.port,
                ssl_context=tls,
                print=say_where,
                shutdown_timeout=_SHUTDOWN_S,
            )
        except web.GracefulExit:  # a second Ctrl-C
            raise KeyboardInterrupt from None


@contextmanager
def _without_junk() -> Iterator[None]:
    """Log no tracebacks of requests that are no HTTP, which anybody may send; they get a 400."""
    from aiohttp.http import HttpProcessingError

    def is_none(record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))

    log = logging.getLogger("aiohttp.server")
    log.addFilter(is_none)
    try:
        yield
    finally:
        log.removeFilter(is_none)


def _tls(args: argparse.Namespace) -> ssl.SSLContext | None:
    if args.tls_cert is None and args.tls_key is None:
        return None
    require(args.tls_cert is not None, "--tls-key without --tls-cert: name both")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(args.tls_cert, args.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInputError(
            f"--tls-cert {args.tls_cert}: no certificate with its key ({error}); both are PEM files"
        ) from error
    return context


def _make_folder(folder: Path) -> None:
    from ..files.output_path import check_output

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--record {folder}: cannot be made ({error.strerror})") from error
    check_output(folder / "live-check.mp4")
