"""Places of the server: who holds one, and when it is given back."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
import torch

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")
from flashtalk_core.errors import InvalidInputError, OutputError  # noqa: E402
from flashtalk_core.live.shown import Shown  # noqa: E402
from flashtalk_core.serve import outputs  # noqa: E402
from flashtalk_core.serve import session as served  # noqa: E402
from flashtalk_core.serve.outputs import OutputThread  # noqa: E402
from flashtalk_core.serve.protocol import RefusedError  # noqa: E402
from tests.unit.serve.lamp import make_hub, serving  # noqa: E402

pytestmark = pytest.mark.cpu


def running(test, hub, **access):
    """Run a test on a loop of its own, with a server."""

    async def run():
        async with serving(hub, **access) as (address, client), asyncio.timeout(30):
            await test(address, client)

    asyncio.run(run())


async def until(is_so, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.02)


def test_a_client_that_leaves_before_ready_keeps_its_place_no_longer_than_one_that_left(
    monkeypatch,
):
    hub = make_hub(0.01, reconnect_s=0.3, sessions=1)
    is_waited_for, may_go_on = Event(), Event()
    find = hub.avatars.find

    def slow(plan, policy):
        is_waited_for.set()
        may_go_on.wait(5)
        return find(plan, policy)

    async def test(address, client):
        monkeypatch.setattr(hub.avatars, "find", slow)
        socket = await client.ws_connect(f"{address}/live")
        await socket.send_json({"type": "start"})
        await until(is_waited_for.is_set)
        socket._response.connection.transport.abort()
        await asyncio.sleep(0.1)
        may_go_on.set()
        await until(lambda: hub.counts.sessions == 1)
        await until(lambda: not hub.stats()["open_sessions"])
        answer = await client.post(f"{address}/sessions")
        assert answer.status == 201

    running(test, hub)


def test_each_of_sessions_that_begin_together_has_a_recording_of_its_own(tmp_path):
    folder = tmp_path / "somebody" / "removed it"
    hub = make_hub(0.01, record=folder, sessions=6)

    async def test(address, client):
        posts = (client.post(f"{address}/sessions") for _ in range(6))
        assert [one.status for one in await asyncio.gather(*posts)] == [201] * 6

    running(test, hub)
    recorded = [path.name for path in folder.iterdir()]
    assert sorted(name[-8:-4] for name in recorded) == [f"{number:04d}" for number in range(1, 7)]
    assert all(path.stat().st_size for path in folder.iterdir())


def test_a_session_that_cannot_be_ended_keeps_no_other_one_open(monkeypatch):
    hub = make_hub(0.01, session_s=0.5, sessions=3)
    may_end = Event()

    def wait(reason):
        may_end.wait(20)

    def fail(reason):
        raise RuntimeError("out of luck")

    async def test(address, client):
        sessions = []
        for _ in range(3):
            answer = await client.post(f"{address}/sessions")
            sessions.append(hub.find((await answer.json())["session"]))
        ends = [sessions[0].close, sessions[1].close]
        monkeypatch.setattr(sessions[0], "close", fail)
        monkeypatch.setattr(sessions[1], "close", wait)
        await until(lambda: not hub.stats()["open_sessions"])
        assert sessions[2]._stop.is_set()
        assert (await client.post(f"{address}/sessions")).status == 201
        await until(lambda: not hub.stats()["open_sessions"])  # and looked at again
        may_end.set()
        for end in ends:
            end("limit")

    running(test, hub)


def test_ends_that_take_long_leave_threads_for_who_begins(monkeypatch):
    hub, may_end = make_hub(0.01, session_s=0.5, sessions=5), Event()

    async def test(address, client):
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        closes = []
        for _ in range(4):
            answer = await client.post(f"{address}/sessions")
            session = hub.find((await answer.json())["session"])
            closes.append(session.close)
            monkeypatch.setattr(session, "close", lambda _reason: may_end.wait(20))
        await until(lambda: not hub.stats()["open_sessions"])
        async with asyncio.timeout(3):
            assert (await client.post(f"{address}/sessions")).status == 201
        may_end.set()
        for close in closes:
            close("limit")

    running(test, hub)


def test_an_output_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr(outputs, "FINISH_S", 0.1)
    hub, is_taking, may_end = make_hub(0.01), Event(), Event()

    class Hung:
        def take(self, shown):
            is_taking.set()
            may_end.wait(20)

        def close(self, *, is_whole):
            """Do nothing."""

    async def test(address, client):
        answer = await client.post(f"{address}/sessions")
        session = hub.find((await answer.json())["session"])
        hung = session.add_output("hung", Hung(), capacity=1)
        await until(is_taking.is_set)
        async with asyncio.timeout(3):
            assert (await client.delete(f"{address}/sessions/{session.id}")).status == 200
        assert hung.is_alive()
        may_end.set()
        await asyncio.to_thread(hung.join, 3)
        assert not hung.is_alive()

    running(test, hub)


def test_a_server_that_stops_ends_all_sessions_at_once(monkeypatch, caplog):
    hub = make_hub(0.01, sessions=4)
    together = threading.Barrier(4, timeout=10)

    class Slow:
        def take(self, shown):
            """Do nothing."""

        def close(self, *, is_whole):
            together.wait()  # the ends of all sessions, or it breaks

    async def test(address, client):
        for _ in range(4):
            answer = await client.post(f"{address}/sessions")
            hub.find((await answer.json())["session"]).add_output("slow", Slow())
        await asyncio.to_thread(hub.stop)
        assert not hub._sessions

    running(test, hub)
    assert not together.broken
    assert not caplog.records


def test_outputs_that_hang_together_are_waited_for_as_long_as_one(monkeypatch):
    monkeypatch.setattr(outputs, "FINISH_S", 0.3)
    may_end = Event()

    class Hung:
        def take(self, shown):
            """Do nothing."""

        def close(self, *, is_whole):
            may_end.wait(20)

    hung = [OutputThread(f"hung {number}", Hung(), lambda _: None) for number in range(5)]
    begun_s = time.monotonic()
    outputs.finish(hung)
    assert 0.3 <= time.monotonic() - begun_s < 1.2
    assert all(one.is_alive() for one in hung)
    may_end.set()
    outputs.finish(hung)
    assert not any(one.is_alive() for one in hung)


def test_an_encoder_that_hangs_unwatched_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(served, "UNWATCHED_S", 0.0)
    hub, may_end = make_hub(0.01), Event()

    class Hung:
        def take(self, shown):
            """Do nothing."""

        def close(self, *, is_whole):
            may_end.wait(20)

    async def test(address, client):
        answer = await client.post(f"{address}/sessions")
        session = hub.find((await answer.json())["session"])
        monkeypatch.setattr(session, "_encoder", lambda *_: Hung())
        session.stream()
        begun_s = time.monotonic()
        session.end_unwatched()
        assert time.monotonic() - begun_s < 1.0
        assert not session._outputs
        may_end.set()

    running(test, hub)


@pytest.mark.parametrize(
    ("error", "has_traceback"), [(OutputError("disk full"), False), (RuntimeError("a bug"), True)]
)
def test_why_an_output_ended_is_logged_in_a_line_where_a_line_says_it(caplog, error, has_traceback):
    class Broken:
        def take(self, shown):
            raise error

        def close(self, *, is_whole):
            assert not is_whole

    ended = Event()
    outputs.OutputThread("recorder", Broken(), lambda _: ended.set()).put(shown())
    assert ended.wait(5)
    (record,) = caplog.records
    assert (bool(record.exc_info), "disk full" in caplog.text) == (has_traceback, not has_traceback)


def shown():
    return Shown(0, torch.zeros(2, 2, 3), np.zeros((1, 640), np.float32), None, is_held=False)


def test_nothing_begins_while_the_server_stops_or_after(monkeypatch):
    hub = make_hub(0.01)
    is_waited_for, may_go_on = Event(), Event()
    prepare = hub.avatars.prepare

    def slow(plan, policy, between=lambda: None):
        is_waited_for.set()
        may_go_on.wait(5)
        return prepare(plan, policy, between)

    async def test(address, client):
        monkeypatch.setattr(hub.avatars, "prepare", slow)
        wanted = ({"prompt": prompt} for prompt in ("first", "second"))
        posts = [
            asyncio.create_task(client.post(f"{address}/sessions", json=one)) for one in wanted
        ]
        await until(is_waited_for.is_set)
        await until(lambda: hub._drawing._tasks)  # the other one waits for its turn
        stopping = asyncio.create_task(asyncio.to_thread(hub.stop))
        await until(lambda: hub._drawing._is_ending)
        posts.append(asyncio.create_task(client.post(f"{address}/sessions")))
        may_go_on.set()
        for post in posts:
            answer = await asyncio.wait_for(post, 5)
            assert (answer.status, (await answer.json())["code"]) == (503, "busy")
        await stopping
        assert not hub._sessions
        assert not hub._places
        with pytest.raises(RefusedError):
            hub.call(lambda: None)

    running(test, hub)


def test_a_server_that_stops_gives_up_a_portrait_between_its_parts(monkeypatch):
    hub = make_hub(0.01)
    prepare, num_parts = hub.avatars.prepare, 0

    def of_parts(plan, policy, between=lambda: None):
        nonlocal num_parts
        for _ in range(100):
            between()
            num_parts += 1
            time.sleep(0.05)
        return prepare(plan, policy, between)

    async def test(address, client):
        monkeypatch.setattr(hub.avatars, "prepare", of_parts)
        post = asyncio.create_task(client.post(f"{address}/sessions", json={"prompt": "another"}))
        await until(lambda: num_parts)
        await asyncio.to_thread(hub.stop)
        answer = await post
        assert (answer.status, (await answer.json())["code"]) == (503, "busy")
        assert not hub.is_drawing
        assert num_parts < 50

    running(test, hub)


def test_a_session_that_is_over_takes_no_output_more():
    hub = make_hub(0.01)
    before = threading.active_count()
    closed = []

    class Kept:
        def take(self, shown):
            """Do nothing."""

        def close(self, *, is_whole):
            closed.append(is_whole)

    async def test(address, client):
        answer = await client.post(f"{address}/sessions")
        session = hub.find((await answer.json())["session"])
        await asyncio.to_thread(hub.close, session, "closed")
        for begin in (lambda: session.add_output("late", Kept()), session.stream):
            with pytest.raises(RefusedError, match="the session is over"):
                begin()
        assert closed == [False]
        assert not [one for one in threading.enumerate() if one.name.startswith("live-late")]

    running(test, hub)
    assert threading.active_count() <= before


def test_viewers_that_come_together_watch_one_stream():
    hub = make_hub(0.01)

    async def test(address, client):
        answer = await client.post(f"{address}/sessions")
        session = hub.find((await answer.json())["session"])
        streams = await asyncio.gather(*(asyncio.to_thread(session.stream) for _ in range(4)))
        assert len(set(streams)) == 1
        assert [one.name for one in session._outputs] == ["live-encoder"]

    running(test, hub)


def test_an_encoder_that_cannot_begin_leaves_room_for_the_next(monkeypatch):
    hub = make_hub(0.01)

    def fail(*_args):
        raise RuntimeError("out of luck")

    async def test(address, client):
        answer = await client.post(f"{address}/sessions")
        session = hub.find((await answer.json())["session"])
        with monkeypatch.context() as patch:
            patch.setattr(session, "_encoder", fail)
            with pytest.raises(RuntimeError):
                session.stream()
        session.stream()
        assert [one.name for one in session._outputs] == ["live-encoder"]

    running(test, hub)


def test_a_video_that_nobody_watches_is_encoded_no_longer_and_begins_anew(monkeypatch):
    monkeypatch.setattr(served, "UNWATCHED_S", 0.5)
    hub = make_hub(0.01)

    async def watched(answer):
        async for data in answer.content.iter_any():
            if b"moof" in data:
                return True
        return False

    async def test(address, client):
        ready = await (await client.post(f"{address}/sessions")).json()
        session = hub.find(ready["session"])
        for _ in range(2):
            answer = await client.get(address + ready["stream"])
            assert await watched(answer)
            await asyncio.sleep(2)  # longer than that, and it goes on while somebody watches
            assert [one.name for one in session._outputs] == ["live-encoder"]
            answer.close()
            await until(lambda: not session._outputs)
        await until(
            lambda: not [one for one in threading.enumerate() if one.name == "live-encoder"]
        )

    running(test, hub)


@pytest.mark.parametrize(
    ("factor", "speakers"), [(0.05, 18), (0.1, 9), (0.3, 3), (0.45, 2), (0.46, 1), (0.9, 1)]
)
def test_as_many_may_speak_as_chunks_leave_time_for(factor, speakers):
    hub = make_hub(factor)
    assert (hub.capacity, hub.max_sessions) == (speakers, 4 * speakers)
    hub.stop()


def test_a_server_whose_chunks_take_too_long_begins_only_where_that_is_allowed():
    with pytest.raises(InvalidInputError, match=r"a chunk takes 0\.91 times as long"):
        make_hub(0.91)
    hub = make_hub(0.91, allow_slow=True)
    assert hub.capacity == 1
    hub.stop()
