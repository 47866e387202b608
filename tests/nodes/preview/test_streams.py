"""The route of the live stream, on a real server and real sockets."""

import asyncio
import gc
import sys
import weakref
from contextlib import asynccontextmanager

import pytest

from tests.nodes import local_server

pytestmark = pytest.mark.cpu

aiohttp = pytest.importorskip("aiohttp", reason="the route needs ComfyUI's server")

HEAD, PIECE = b"head", bytes(1000)


@pytest.fixture
def streams(pack):
    """The module of the route, with no stream open."""
    module = pack["nodes.preview.streams"]
    module.stream_sessions.cache_clear()
    module.last_messages.cache_clear()
    return module


def viewing(streams):
    """Return the module that sends a stream to a viewer."""
    return sys.modules[streams.send_stream.__module__]


@asynccontextmanager
async def serving(streams):
    """Serve the route; gives a function from a path below it to a request."""
    from aiohttp import web

    app = web.Application()
    app.router.add_get(streams.ROUTE, streams.serve_stream)
    app.router.add_get(streams.MESSAGE_ROUTE, streams.serve_message)
    # One connection each, as many as a test likes.
    many = aiohttp.TCPConnector(limit=0)
    async with local_server.running(app, connector=many) as (base, client):
        yield lambda path: client.get(f"{base}/flashtalk/stream/{path}")


def running(test):
    """Run a coroutine as a test."""

    def run(streams):
        asyncio.run(asyncio.wait_for(test(streams), 30))

    run.__name__ = test.__name__
    return run


def opened(streams, pieces=1):
    session, stream = streams.stream_sessions().open()
    stream.begin(HEAD)
    for index in range(pieces):
        stream.add(PIECE, index, is_key=True)
    return session, stream


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


@running
async def test_a_viewer_gets_the_stream_as_it_is_made_and_its_end(streams):
    session, stream = opened(streams)
    async with serving(streams) as get, get(session) as answer:
        assert await answer.content.readexactly(1004) == HEAD + PIECE
        # From another thread, as the render does it.
        await asyncio.to_thread(stream.add, b"more", 1, is_key=False)
        assert await answer.content.readexactly(4) == b"more"
        await asyncio.to_thread(streams.stream_sessions().close, session)
        assert await answer.read() == b""
    await until(lambda: stream.num_viewers == 0)


@running
async def test_the_answer_comes_before_the_first_byte(streams):
    session, _ = streams.stream_sessions().open()
    async with serving(streams) as get, get(session) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "video/mp4"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@running
async def test_asking_for_the_head_alone_adds_no_viewer(streams):
    session, stream = opened(streams)
    async with serving(streams) as get, get(session) as watching:
        async with aiohttp.ClientSession() as client, client.head(watching.url) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, "video/mp4")
        assert stream.num_viewers == 1


@running
async def test_the_stream_route_serves_known_ids_only(streams):
    session, _ = opened(streams)
    wrong = ["x", session[:-1], session + "x", "..%2f..%2fetc%2fpasswd", "%2e%2e", session + "%00",
             "%ff", "a" * 4000, "__init__.py"]  # fmt: skip
    async with serving(streams) as get:
        for path in wrong:
            async with get(path) as answer:
                assert answer.status == 404, path
        streams.stream_sessions().close(session)
        async with get(session) as answer:
            assert answer.status == 404


@running
async def test_a_time_that_is_none_starts_at_the_newest(streams):
    session, _ = opened(streams, 3)
    lengths = {}
    async with serving(streams) as get:
        for given in ("0", "1", "-1", "x", "9" * 5000, "1e3", "%D9%A3"):
            async with get(f"{session}?from={given}") as answer:
                first = await answer.content.readexactly(1004)
                lengths[given[:5]] = len(first + answer.content.read_nowait())
    assert lengths.pop("0") == 3004
    assert lengths.pop("1") == 2004
    assert set(lengths.values()) == {1004}


@running
async def test_one_viewer_too_many_is_asked_to_come_back(streams):
    session, stream = opened(streams)
    async with serving(streams) as get:
        answers = [await get(session) for _ in range(20)]
        states = [answer.status for answer in answers]
        assert states == [200] * 16 + [503] * 4
        assert answers[-1].headers["Retry-After"] == "2"
        for answer in answers:
            answer.close()
        await until(lambda: not stream.num_viewers or stream.add(PIECE, 0, is_key=True))
    assert stream.num_dropped == 0  # they left


@running
async def test_viewers_that_leave_between_two_pieces_make_room(streams):
    viewing(streams).CHECK_S, usual = 0.05, viewing(streams).CHECK_S
    try:
        session, stream = opened(streams)
        async with serving(streams) as get:
            for answer in [await get(session) for _ in range(16)]:
                answer.close()
            await until(lambda: stream.num_viewers == 0)  # nothing was published
    finally:
        viewing(streams).CHECK_S = usual


@running
async def test_what_is_left_of_a_stream_is_not_kept_for_one_that_does_not_read(streams):
    viewing(streams).WRITE_TIMEOUT_S, usual = 0.3, viewing(streams).WRITE_TIMEOUT_S
    try:
        session, stream = opened(streams)
        async with serving(streams) as get, get(session):
            for index in range(60):
                stream.add(bytes(2**20), index, is_key=True)
            streams.stream_sessions().close(session)
            await until(lambda: stream.num_viewers == 0)
            assert stream.num_dropped == 1
    finally:
        viewing(streams).WRITE_TIMEOUT_S = usual


@running
async def test_the_last_message_of_a_stream_can_be_asked_for(streams):
    async with serving(streams) as get:
        for index in range(streams.MAX_MESSAGES + 1):
            for state in ("live", "finished"):
                streams.send_message({"session": f"s{index}", "state": state})
        async with get("s1/message") as answer:
            assert (await answer.json())["state"] == "finished"
        async with get("s0/message") as answer:  # the oldest one made room
            assert answer.status == 404


@running
async def test_a_thousand_streams_without_viewers_are_bounded(streams):
    async with serving(streams) as get:
        answers, kept = [], []
        for _ in range(1000):
            session, stream = opened(streams)
            kept.append(weakref.ref(stream))
            answers.append(await get(session))
        assert len(streams.stream_sessions()) == 4
        for answer in answers:
            answer.close()
        stream = None
        await until(lambda: gc.collect() >= 0 and sum(ref() is not None for ref in kept) <= 4)


@running
async def test_a_thousand_requests_that_read_nothing_are_bounded_and_freed(streams):
    session, stream = opened(streams)
    async with serving(streams) as get:
        answers = await asyncio.gather(*(get(session) for _ in range(1000)))
        assert sum(answer.status == 200 for answer in answers) == 16
        for index in range(200):
            await asyncio.to_thread(stream.add, bytes(2**20), index, is_key=True)
            await asyncio.sleep(0)
        assert stream.num_bytes <= 64 * 2**20
        await until(lambda: stream.num_viewers == 0)
        assert stream.num_dropped == 16
        streams.stream_sessions().close(session)
        for answer in answers:
            answer.close()
    left = weakref.ref(stream)
    stream = answers = None
    await asyncio.sleep(0)
    gc.collect()
    assert left() is None


@running
async def test_a_dropped_viewer_sees_a_broken_stream_not_an_end(streams):
    session, stream = opened(streams)
    async with serving(streams) as get, get(session) as answer:
        for index in range(100):
            await asyncio.to_thread(stream.add, bytes(2**20), index, is_key=True)
        await until(lambda: stream.num_viewers == 0)
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


@running
async def test_a_viewer_that_stops_reading_is_dropped_in_time(streams):
    viewing(streams).WRITE_TIMEOUT_S, usual = 0.2, viewing(streams).WRITE_TIMEOUT_S
    try:
        session, stream = opened(streams)
        async with serving(streams) as get, get(session):
            stream.add(bytes(32 * 2**20), 1, is_key=True)
            await until(lambda: stream.num_dropped == 1)
    finally:
        viewing(streams).WRITE_TIMEOUT_S = usual


@asynccontextmanager
async def unread(streams, session):
    """A connection whose client never reads the answer."""
    async with serving(streams) as get:
        async with get("x") as answer:
            port = answer.url.port
        opened = []
        try:

            async def ask():
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
                opened.append(writer)
                path = f"/flashtalk/stream/{session}"
                writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                return reader

            yield get, ask
        finally:
            for writer in opened:
                writer.close()


@running
async def test_what_the_system_holds_back_does_not_count_as_taken(streams):
    """Two megabytes are half a minute of video, and fit into its buffers."""
    viewing(streams).WRITE_TIMEOUT_S, usual = 0.3, viewing(streams).WRITE_TIMEOUT_S
    try:
        session, stream = opened(streams)
        async with unread(streams, session) as (_, ask):
            await ask()
            await until(lambda: stream.num_viewers == 1)
            for index in range(40):
                stream.add(bytes(50_000), index, is_key=True)
                await asyncio.sleep(0.005)
            await until(lambda: stream.num_dropped == 1)
    finally:
        viewing(streams).WRITE_TIMEOUT_S = usual


@running
async def test_viewers_that_take_nothing_hold_no_place(streams):
    session, stream = opened(streams)
    clock = stream._clock_s
    async with unread(streams, session) as (get, ask):
        for _ in range(16):
            await ask()
        await until(lambda: stream.num_viewers == 16)
        stream.add(bytes(8 * 2**20), 1, is_key=True)
        await asyncio.sleep(0.2)
        async with get(session) as answer:
            assert answer.status == 503
        stream._clock_s = lambda: clock() + 60
        async with get(session) as answer:
            assert answer.status == 200
            assert await answer.content.readexactly(4) == HEAD
        assert stream.num_dropped == 1


@running
async def test_a_viewer_that_was_replaced_is_disconnected_at_once(streams):
    """Else its connection would stay until the time for one fragment is over."""
    session, stream = opened(streams)
    async with unread(streams, session) as (get, ask):
        reader = await ask()
        await until(lambda: stream.num_viewers == 1)
        stream.add(bytes(8 * 2**20), 1, is_key=True)
        await asyncio.sleep(0.1)
        clock, stream._max_viewers = stream._clock_s, 1
        stream._clock_s = lambda: clock() + 60
        async with get(session) as answer:
            assert answer.status == 200
            assert len(await reader.read()) < 2 * 2**20  # what the system held
