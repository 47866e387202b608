"""omnirt's protocol, by messages, and by opentalking's own client where it is installed."""

import asyncio
import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")
from flashtalk_core.serve import omnirt  # noqa: E402
from flashtalk_core.serve.omnirt import LENGTH, PATH  # noqa: E402
from tests.unit.serve.lamp import EXAMPLE, SIZE_PX, make_hub, serving, speech  # noqa: E402

pytestmark = pytest.mark.cpu

PORTRAIT = (EXAMPLE / "portrait.png").read_bytes()
INIT = {
    "type": "init",
    "ref_image": base64.b64encode(PORTRAIT).decode(),
    "prompt": "somebody talks",
    "seed": 9999,
    "preprocessed": True,  # of other models
}


def running(test, hub=None, **access):
    """Run a test on a loop of its own, with a server."""

    async def run():
        async with (
            serving(hub or make_hub(0.01), **access) as (address, client),
            asyncio.timeout(30),
        ):
            await test(address, client)

    asyncio.run(run())


async def told(socket):
    received = await socket.receive(10)
    assert received.type is aiohttp.WSMsgType.TEXT, received
    return received.json()


async def pictures(socket):
    """Return how bright the pictures of the next message are."""
    data = await socket.receive_bytes(timeout=10)
    assert data[:4] == b"VIDX"
    (count,), at, found = LENGTH.unpack_from(data, 4), 8, []
    for _ in range(count):
        (length,) = LENGTH.unpack_from(data, at)
        image = Image.open(io.BytesIO(data[at + 4 : at + 4 + length]))
        assert (image.format, image.size) == ("JPEG", SIZE_PX[::-1])
        found.append(round(np.asarray(image).mean()))
        at += 4 + length
    assert at == len(data)
    return found


def test_each_chunk_of_sound_is_answered_with_its_pictures():
    hub = make_hub(0.01)

    async def test(address, client):
        async with client.ws_connect(address + PATH) as socket:
            await socket.send_json(INIT)
            assert await told(socket) == {
                "type": "init_ok", "frame_num": 33, "motion_frames_num": 5, "slice_len": 28,
                "fps": 25, "height": 32, "width": 32,
            }  # fmt: skip
            assert hub.counts.sessions == 1
            for number, level in enumerate((0.0, 0.5, 1.0, 0.25)):
                sound = speech(10, 0.0) + speech(18, level)
                assert len(sound) == 35_840
                await socket.send_bytes(b"AUDI" + sound)
                found = await pictures(socket)
                wanted = [100] * 10 + [100 + 100 * level] * 18
                assert np.allclose(found, wanted, atol=2), number
            await socket.send_json({"type": "close"})
            assert await told(socket) == {"type": "close_ok"}
            await socket.send_json(INIT)  # on the same connection
            assert (await told(socket))["type"] == "init_ok"
        assert (await (await client.get(f"{address}/stats")).json())["refused"] == 0

    running(test, hub)
    assert not hub._places


FAULTS = [
    (b"AUDI" + bytes(35_840), "send 'init' first"),
    ("{", "no JSON"),
    (json.dumps({"type": "dance"}), "'dance': unknown; use init or close"),
    (json.dumps({**INIT, "ref_image": "?"}), "init: ref_image is no Base64"),
    (json.dumps({**INIT, "ref_image": "AAAA"}), "portrait"),
    (json.dumps({**INIT, "seed": "many"}), "init: seed 'many' is not a whole number"),
    (json.dumps(INIT), ""),
    (b"AUDI" + bytes(35_838), "send 'AUDI' and 35840 bytes"),
    (b"SING" + bytes(35_840), "send 'AUDI' and 35840 bytes"),
    (b"", "send 'AUDI'"),
]
"""What is sent, and what is told of it; nothing of an ``init``."""


def test_what_cannot_be_used_is_told_and_the_connection_goes_on():
    async def test(address, client):
        async with client.ws_connect(address + PATH) as socket:
            for sent, text in FAULTS:
                await (socket.send_bytes if isinstance(sent, bytes) else socket.send_str)(sent)
                answer = await told(socket)
                assert answer["type"] == ("error" if text else "init_ok"), sent
                assert text in answer.get("message", "")
            await socket.send_bytes(b"AUDI" + speech(28))
            assert np.allclose(await pictures(socket), 150, atol=2)

    running(test)


def test_what_is_empty_is_the_servers_own_and_a_seed_of_0_is_not():
    start = omnirt._start_of({"type": "init", "ref_image": "", "prompt": "", "seed": 0})
    assert (start.portrait, start.prompt, start.seed) == (None, None, 0)


def test_a_session_more_than_there_are_is_refused_and_gets_the_next_free_place():
    async def test(address, client):
        first = await client.ws_connect(address + PATH)
        second = await client.ws_connect(address + PATH)
        await first.send_json(INIT)
        await told(first)
        await second.send_json(INIT)
        answer = await told(second)
        assert (answer["type"], answer["code"], answer["retry_after"]) == ("error", "full", 5)
        await first.close()
        async with asyncio.timeout(5):
            while answer["type"] != "init_ok":
                await second.send_json(INIT)
                answer = await told(second)

    running(test, make_hub(0.01, sessions=1))


def test_a_token_is_asked_for():
    async def test(address, client):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(address + PATH)
        assert refused.value.status == 401
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(address + PATH, headers={"Origin": "http://elsewhere.org"})
        assert refused.value.status == 403
        headers = {"Authorization": "Bearer secret"}
        async with client.ws_connect(address + PATH, headers=headers) as socket:
            await socket.send_json(INIT)
            assert (await told(socket))["type"] == "init_ok"

    running(test, token="secret")


def test_a_session_that_cannot_begin_gives_its_place_back(monkeypatch):
    hub = make_hub(0.01, sessions=1)

    async def test(address, client):
        async with client.ws_connect(address + PATH) as socket:
            with monkeypatch.context() as patch:
                patch.setattr(omnirt, "SessionDrawer", lambda *_: 1 / 0)
                await socket.send_json(INIT)
                assert (await told(socket))["type"] == "error"
            assert not hub._places
            await socket.send_json(INIT)
            assert (await told(socket))["type"] == "init_ok"

    running(test, hub)


def test_a_client_that_says_nothing_is_let_go_and_one_whose_chunk_fails_begins_anew(
    monkeypatch, caplog
):
    hub = make_hub(0.01, idle_s=1.0, sessions=1)

    async def test(address, client):
        async with client.ws_connect(address + PATH) as socket:
            await socket.send_json(INIT)
            assert (await told(socket))["type"] == "init_ok"
            (avatar,) = [one for one in hub.avatars.made.values() if one.policy.idle == "still"]
            (source,) = avatar.engine.sources.values()
            with monkeypatch.context() as patch:
                patch.setattr(source, "generate", lambda span, state: 1 / 0)
                await socket.send_bytes(b"AUDI" + speech(28))
                text = (await told(socket))["message"]
                assert "division" not in text
                number = re.search(r"its log has it as (\w+); send 'init' again", text)[1]
                assert f"error {number}, as a client was told: division by zero" in caplog.text
            await socket.send_json(INIT)
            await told(socket)
            await socket.send_bytes(b"AUDI" + speech(28))
            assert np.allclose(await pictures(socket), 150, atol=2)
            assert (await socket.receive(5)).type is aiohttp.WSMsgType.CLOSE
        async with asyncio.timeout(5):
            while hub._places:  # its place is given back
                await asyncio.sleep(0.02)

    running(test, hub)


def test_live_sessions_go_first_and_lose_no_frame():
    hub = make_hub(0.2)

    async def test(address, client):
        live = await (await client.post(f"{address}/sessions")).json()
        async with client.ws_connect(address + PATH) as socket:
            await socket.send_json(INIT)
            await told(socket)
            await client.post(f"{address}/sessions/{live['session']}/say", data=speech(60))
            for _ in range(4):
                await socket.send_bytes(b"AUDI" + speech(28))
                await pictures(socket)
        (row,) = (await (await client.get(f"{address}/stats")).json())["per_session"]
        assert row["held"] == 0
        assert row["chunks"] >= 3

    running(test, hub)


def test_opentalking_speaks_to_it():
    client = pytest.importorskip(
        "opentalking.providers.synthesis.flashtalk.ws_client", reason="opentalking's client"
    ).FlashTalkWSClient

    async def test(address, _client):
        talk = client(
            f"ws{address.removeprefix('http')}{PATH}",
            extra_headers={"Authorization": "Bearer secret"},
        )
        await talk.init_session(PORTRAIT, seed=7)
        assert talk.audio_chunk_samples == 17_920
        assert (talk.fps, talk.slice_len, talk.height, talk.width) == (25, 28, *SIZE_PX)
        for number in range(10):
            level = number / 10
            frames = await talk.generate(np.full(17_920, level * 32767, np.int16))
            assert len(frames) == 28
            assert np.allclose([one.data.mean() for one in frames], 100 + 100 * level, atol=2)
        await talk.close()

    running(test, token="secret")
