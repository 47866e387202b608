"""The server on a real socket, with a lamp for the networks."""

import asyncio
import base64
import functools
import time
from contextlib import asynccontextmanager

import av
import numpy as np
import pytest

from flashtalk_core.serve.protocol import FRAME, SPEAKING

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")
from tests.unit.serve.lamp import (  # noqa: E402
    EXAMPLE,
    make_hub,
    next_of,
    serving,
    speech,
)

pytestmark = pytest.mark.e2e


def running(test):
    """Run a test on a loop of its own; it gets a hub."""

    @functools.wraps(test)
    def run(*args, **options):
        asyncio.run(asyncio.wait_for(test(*args, **options), 30))

    return run


@asynccontextmanager
async def talking():
    """Give the address, a client, its socket, and what it was told of its session."""
    async with (
        serving(make_hub()) as (address, client),
        client.ws_connect(f"{address}/live", max_msg_size=0) as socket,
    ):
        await socket.send_json({"type": "start", "format": "rgb"})
        yield address, client, socket, await next_of(socket, "ready")


@running
async def test_a_client_speaks_is_seen_and_told_what_was_played():
    async with talking() as (_address, _client, socket, ready):
        assert (ready["height"], ready["width"], ready["frame_rate"]) == (32, 32, 25)
        await socket.send_bytes(speech(20))
        await socket.send_json({"type": "end"})
        frames, events = [], []
        while not events or events[-1]["type"] != "idle":
            received = await socket.receive(5)
            if received.type is aiohttp.WSMsgType.BINARY:
                frames.append(received.data)
            else:
                events.append(received.json())
        heads = [FRAME.unpack(data[: FRAME.size]) for data in frames]
        numbers = [head[1] for head in heads]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        spoken = [head[1] for head in heads if head[4] & SPEAKING]
        pictures = {
            head[1]: np.frombuffer(data, np.uint8, 3, FRAME.size)[0]
            for head, data in zip(heads, frames, strict=True)
        }
        assert len(spoken) == 20
        assert all(abs(int(pictures[number]) - 150) <= 1 for number in spoken)
        sounds = np.concatenate(
            [np.frombuffer(data[FRAME.size + head[7] :], "<i2") for head, data in
             zip(heads, frames, strict=True) if head[4] & SPEAKING]
        )  # fmt: skip
        assert (sounds == int(0.5 * 32767)).mean() > 0.99
        assert [event["type"] for event in events] == ["speaking", "played", "idle"]
        assert events[0]["frame"] == spoken[0]
        assert events[1] | {"frame": 0} == {
            "type": "played", "frame": 0, "utterance": 1, "seconds": 0.8, "interrupted": False,
        }  # fmt: skip


@running
async def test_a_clear_ends_the_sound_within_three_frames():
    async with talking() as (address, client, socket, _):
        await socket.send_bytes(speech(200))
        await next_of(socket, "speaking")
        await asyncio.sleep(0.4)
        await socket.send_json({"type": "clear"})
        played = await next_of(socket, "played")
        assert played["interrupted"]
        assert 0 < played["seconds"] < 2
        stats = await client.get(f"{address}/stats")
        (row,) = (await stats.json())["per_session"]
        assert row["clear_max_ms"] <= 100 + 40  # the lead, and the frame that is on
        await socket.send_bytes(speech(10))  # of what was cleared
        await socket.send_json({"type": "ping", "id": 7})
        assert await next_of(socket, "speaking", "pong") == {"type": "pong", "id": 7}
        await socket.send_json({"type": "end"})
        await socket.send_bytes(speech(10))
        await socket.send_json({"type": "end"})
        assert (await next_of(socket, "speaking"))["utterance"] == 2


@running
async def test_eight_speak_at_once_and_the_ninth_is_refused_at_once():
    async with serving(make_hub(0.05, sessions=8)) as (address, client):
        sockets = [await client.ws_connect(f"{address}/live") for _ in range(8)]
        for socket in sockets:
            await socket.send_json({"type": "start"})
        await asyncio.gather(*(next_of(socket, "ready") for socket in sockets))
        for socket in sockets:
            await socket.send_bytes(speech(60))
            await socket.send_json({"type": "end"})
        took_s = []
        for _ in range(5):
            start_s = time.perf_counter()
            answer = await client.post(f"{address}/sessions")
            took_s.append(time.perf_counter() - start_s)
            assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
        told = await answer.json()
        assert told["code"] == "full"
        assert "8 sessions are open, and at most 8 can be" in told["message"]
        assert min(took_s) < 0.05  # others use the machine as well, but not all the time
        for played in await asyncio.gather(*(next_of(one, "played") for one in sockets)):
            assert played | {"frame": 0} == {
                "type": "played", "frame": 0, "utterance": 1, "seconds": 2.4, "interrupted": False,
            }  # fmt: skip
        for socket in sockets:
            await socket.close()


@running
async def test_sound_is_posted_and_the_video_is_watched(tmp_path):
    async with serving(make_hub(record=tmp_path)) as (address, client):
        answer = await client.post(f"{address}/sessions", json={"rate": 24_000})
        assert answer.status == 201
        ready = await answer.json()
        video = bytearray()

        async def watch():
            async with client.get(address + ready["stream"]) as stream:
                assert stream.content_type == "video/mp4"
                async for data in stream.content.iter_any():
                    video.extend(data)

        watching = asyncio.create_task(watch())
        said = await client.post(
            f"{address}/sessions/{ready['session']}/say", data=bytes(24_000) + b"\1\2" * 24_000
        )
        assert await said.json() == {"utterance": 1, "seconds": 1.5}
        await asyncio.sleep(2.5)
        assert (await client.delete(f"{address}/sessions/{ready['session']}")).status == 200
        await asyncio.wait_for(watching, 5)
        assert (await client.get(address + ready["stream"])).status == 404
    (tmp_path / "seen.mp4").write_bytes(video)
    (recorded,) = [path for path in tmp_path.glob("live-*") if path.suffix == ".mp4"]
    for path in (tmp_path / "seen.mp4", recorded):
        with av.open(str(path)) as container:
            assert {stream.type for stream in container.streams} == {"video", "audio"}
            bright = [frame.to_ndarray(format="gray").mean() for frame in container.decode(video=0)]
        assert len(bright) > 50
        assert max(bright) > 90  # it spoke, or at least woke up
        assert min(bright) < 60


@running
async def test_a_client_comes_back_to_its_session_and_hears_what_it_missed():
    async with serving(make_hub(reconnect_s=20)) as (address, client):
        async with client.ws_connect(f"{address}/live") as socket:
            await socket.send_json({"type": "start"})
            session = (await next_of(socket, "ready"))["session"]
            await socket.send_bytes(speech(10))
        await asyncio.sleep(1.0)
        async with client.ws_connect(f"{address}/live") as socket:
            await socket.send_json({"type": "start", "session": session})
            assert (await next_of(socket, "ready"))["session"] == session
            assert (await next_of(socket, "played"))["seconds"] == 0.4
            await socket.send_json({"type": "close"})
            assert (await next_of(socket, "closed"))["reason"] == "closed"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"session_s": 0.3}, "limit"), ({"idle_s": 0.3}, "idle"), ({"reconnect_s": 0.3}, "gone")],
)
def test_sessions_end_by_their_limits(limits, reason):
    @running
    async def run():
        hub = make_hub(**limits)
        async with serving(hub) as (address, client):
            socket = await client.ws_connect(f"{address}/live")
            await socket.send_json({"type": "start"})
            await next_of(socket, "ready")
            if reason == "gone":
                await socket.close()
            else:
                assert (await next_of(socket, "closed"))["reason"] == reason
            async with asyncio.timeout(5):
                while hub.stats()["open_sessions"]:
                    await asyncio.sleep(0.05)
            await socket.close()

    run()


@running
async def test_another_portrait_is_prepared_while_somebody_speaks():
    hub = make_hub()
    async with serving(hub) as (address, client):
        speaking = await client.ws_connect(f"{address}/live")
        await speaking.send_json({"type": "start"})
        await next_of(speaking, "ready")
        await speaking.send_bytes(speech(50))
        await speaking.send_json({"type": "end"})
        await next_of(speaking, "speaking")
        portrait = base64.b64encode((EXAMPLE / "portrait.png").read_bytes()).decode()
        answer = await client.post(
            f"{address}/sessions", json={"portrait": portrait, "prompt": "somebody else"}
        )
        assert answer.status == 201
        assert len(hub.avatars.made) == 2
        assert (await next_of(speaking, "played"))["seconds"] == 2.0
        await speaking.close()


@running
async def test_numbers_are_told_to_those_who_may_know_them():
    async with serving(make_hub(), token="secret") as (address, client):
        assert (await client.get(f"{address}/stats")).status == 401
        assert (await client.get(f"{address}/health")).status == 200
        headers = {"Authorization": "Bearer secret"}
        stats = await (await client.get(f"{address}/stats", headers=headers)).json()
        assert stats["capacity"] == 9
        assert stats["max_sessions"] == 36
        text = await (await client.get(f"{address}/metrics", headers=headers)).text()
        values = dict(line.split() for line in text.splitlines() if not line.startswith("#"))
        assert float(values["flashtalk_speakers_max"]) == 9
        assert float(values["flashtalk_refused_total"]) == 1
        socket = await client.ws_connect(f"{address}/live")
        await socket.send_json({"type": "start", "token": "wrong"})
        assert (await next_of(socket, "error"))["code"] == "token"
        socket = await client.ws_connect(f"{address}/live")
        await socket.send_json({"type": "start", "token": "secret"})
        ready = await next_of(socket, "ready")
        assert "secret" not in str(ready)
        await socket.close()


@running
async def test_pages_that_are_allowed_can_read_answers_in_a_browser():
    hub, own = make_hub(0.01), "https://tool.example"
    token = {"Authorization": "Bearer secret"}
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    async with serving(hub, token="secret", origins=(own,)) as (address, client):
        ready = await (await client.post(f"{address}/sessions", headers=token)).json()
        video = address + ready["stream"]
        for origin, allowed in ((own, own), ("https://evil.example", None)):
            page = {"Origin": origin}
            async with client.options(f"{address}/sessions", headers=page | asked) as answer:
                assert answer.status == (204 if allowed else 403)
                shared = answer.headers.get("Access-Control-Allow-Headers", "")
                assert ("Authorization" in shared) == bool(allowed)
            async with client.post(f"{address}/sessions", headers=page | token) as answer:
                assert answer.status == (201 if allowed else 403)
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            async with client.get(video, headers=page) as answer:
                assert answer.status == (200 if allowed else 403)
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed
                assert answer.headers["Vary"] == "Origin"


@running
async def test_a_clock_that_was_moved_is_told():
    slept_s = 0.0
    async with serving(make_hub(now_s=lambda: time.monotonic() + slept_s)) as (address, client):
        assert (await client.post(f"{address}/sessions")).status == 201

        async def moves():
            stats = await (await client.get(f"{address}/stats")).json()
            return stats["per_session"][0]["clock_moves"]

        before = await moves()
        slept_s = 5.0
        while await moves() == before:
            await asyncio.sleep(0.05)
        text = await (await client.get(f"{address}/metrics")).text()
        values = dict(line.split() for line in text.splitlines() if not line.startswith("#"))
        assert float(values["flashtalk_clock_moves"]) > before
