"""WebRTC with aiortc at the other end, over UDP on this machine."""

import asyncio
import re
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

pytest.importorskip("aiohttp", reason="the server needs aiohttp")
pytest.importorskip("aiortc", reason="WebRTC needs aiortc")
from tests.unit.serve.lamp import make_hub, serving, speech
from tests.unit.serve.webrtc_client import Client

pytestmark = pytest.mark.e2e

SPEAKS, SILENT = 120, 90
"""Brightness of the lamp: above, the session spoke aloud; below, it is idle."""


@asynccontextmanager
async def connected(address, http, url, **roles):
    client = Client(**roles)
    try:
        status, text, location = await client.connect(http, address + url)
        assert status == 201, text
        yield client, text, location
    finally:
        await client.connection.close()


async def begin(address, http, **fields):
    answer = await http.post(f"{address}/sessions", json={"rate": 16_000, **fields})
    return (await answer.json())["session"]


def running(test, hub=None, **access):
    async def run():
        async with serving(hub or make_hub(0.05), **access) as (address, http):
            async with asyncio.timeout(60):
                await test(address, http)

    asyncio.run(run())


def test_sound_comes_in_and_pictures_go_out_in_step_on_one_connection():
    hub = make_hub(0.05)

    async def test(address, http):
        session = await begin(address, http)
        async with connected(
            address, http, f"/sessions/{session}/offer", speaks=True, watches=True
        ) as (client, answer, location):
            kinds = re.findall(r"a=candidate:.* typ (\w+)", answer)
            assert kinds
            assert set(kinds) == {"host"}
            await client.until("video", lambda bright: 0 < bright < SILENT)
            client.tone.is_on = True
            await client.until("video", lambda bright: bright > SPEAKS)
            loud = await client.until("audio", lambda level: level > 0.3)
            assert loud[2] == pytest.approx(0.5, abs=0.1)  # no 3 dB lost on the way
            times = [rtp for _, rtp, _ in client.kept["video"]]
            steps = {after - before for before, after in pairwise(times)}
            assert steps == {3600}
            # One connection: another takes over.
            async with connected(
                address, http, f"/sessions/{session}/offer", speaks=True, watches=True
            ) as (_, _, second):
                async with asyncio.timeout(5):
                    while client.connection.connectionState != "closed":
                        await asyncio.sleep(0.02)
                assert (await http.delete(address + location)).status == 404
                assert (await http.delete(address + second)).status == 200
        (found,) = hub._sessions.values()  # not the connection's own
        assert not found._outputs
        assert found.why_over() == ""

    running(test, hub)


def test_a_picture_goes_with_its_sound():
    async def test(address, http):
        session = await begin(address, http)
        async with connected(address, http, f"/whep?session={session}", watches=True) as (
            client, _, _,
        ):  # fmt: skip
            await client.until("video", lambda bright: bright > 0)
            sound = speech(10, 0.0) + speech(40)
            await http.post(f"{address}/sessions/{session}/say", data=sound * 2)
            lit = await client.until("video", lambda bright: bright > SPEAKS)
            loud = await client.until("audio", lambda level: level > 0.3)
            async with asyncio.timeout(20):
                while min(len(found) for found in client.reports.values()) < 4:
                    await asyncio.sleep(0.05)
            apart_s = client.shown_s("video", lit[1]) - client.shown_s("audio", loud[1])
            assert abs(apart_s) <= 0.04, apart_s

    running(test)


@pytest.mark.parametrize("one_in", [100, 20])
def test_losses_are_over_within_a_second(one_in):
    async def test(address, http):
        session = await begin(address, http)
        async with connected(
            address, http, f"/sessions/{session}/offer", speaks=True, watches=True
        ) as (client, _, _):
            await client.until("video", lambda bright: bright > 0)
            client.lose(one_in)
            client.tone.is_on = True
            await client.until("video", lambda bright: bright > SPEAKS)
            await asyncio.sleep(5.0)
            client.lose(0)
            video, audio = (len(client.kept[kind]) for kind in ("video", "audio"))
            await client.until("video", lambda bright: bright > SPEAKS, 1.0, after=video)
            await client.until("audio", lambda level: level > 0.3, 1.0, after=audio)
            assert client.num_dropped >= 3
            for kind in ("video", "audio"):
                came = [came_s for came_s, _, _ in client.kept[kind]]
                longest_s = max(b - a for a, b in pairwise(came))
                assert longest_s < 1.0, kind

    running(test)


def test_one_posts_sound_by_whip_and_another_watches_by_whep():
    hub = make_hub(0.05)

    async def test(address, http):
        headers = {"Authorization": "Bearer secret"}
        speaker = Client(speaks=True)
        status, _, _ = await speaker.connect(http, f"{address}/whip")
        assert status == 401
        speaker = Client(speaks=True)
        status, _, location = await speaker.connect(http, f"{address}/whip", headers)
        assert status == 201
        session = location.split("/")[2]
        assert hub.find(session).start.source == "microphone"
        async with connected(address, http, f"/whep?session={session}", watches=True) as (
            watcher, _, _,
        ):  # fmt: skip
            await watcher.until("video", lambda bright: 0 < bright < SILENT)
            speaker.tone.is_on = True
            await watcher.until("video", lambda bright: bright > SPEAKS)
            await watcher.until("audio", lambda level: level > 0.3)
            assert (await http.delete(address + location)).status == 200
            async with asyncio.timeout(5):  # the session was the speaker's, and ends with it
                while hub._sessions or watcher.connection.connectionState != "closed":
                    await asyncio.sleep(0.02)
        await speaker.connection.close()

    running(test, hub, token="secret")


def test_what_is_no_offer_is_refused_and_leaves_nothing():
    hub = make_hub(0.05)

    async def test(address, http):
        session = await begin(address, http)
        url = f"{address}/sessions/{session}/offer"
        sdp = {"Content-Type": "application/sdp"}
        for data, headers, status, text in (
            (b"v=0", {}, 415, "send application/sdp"),
            (b"", sdp, 400, "no sound"),
            (b"dance", sdp, 400, "offer"),
            (b"v=0\r\nm=audio nowhere", sdp, 400, "cannot be used: it is no SDP, or not all of it"),
            (b"\xff\xfe", sdp, 400, "no text"),
            (bytes(70_000), sdp, 400, "longer than"),
        ):
            answer = await http.post(url, data=data, headers=headers)
            assert answer.status == status, data
            assert text in (await answer.json())["message"]
        assert (await http.post(f"{address}/whep", data="v=0", headers=sdp)).status == 400
        answer = await http.post(f"{address}/sessions/none/offer", data="v=0", headers=sdp)
        assert answer.status == 404
        status, text, _ = await Client(watches=True).connect(http, url)
        assert status == 400
        assert "sends no sound" in text
        status, text, _ = await Client(speaks=True).connect(http, url)
        assert status == 400
        assert "takes no video and sound" in text
        assert not hub.find(session)._outputs
        watchers = [Client(watches=True) for _ in range(5)]
        whep = f"{address}/whep?session={session}"
        found = [(await watcher.connect(http, whep))[0] for watcher in watchers]
        assert found == [201] * 4 + [503]
        for watcher in watchers:
            await watcher.connection.close()

    running(test, hub)
