"""The live server with the bundled model on a GPU: several speak at once, one is interrupted."""

import asyncio
import socket
import subprocess
import sys
import time
import wave

import pytest

from flashtalk_core.cli.rendering.render_options import EXAMPLE
from flashtalk_core.serve.protocol import FRAME

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")
pytestmark = pytest.mark.gpu

NUM_CLIENTS, NUM_FRAMES, FRAME_RATE_HZ = 4, 150, 25
START_LIMIT_S = 120
LATE_S = 0.25
"""Most that a frame may come after its time by the first one."""


@pytest.fixture(scope="module")
def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["serve", "--device", "cuda", "--size", "128x128", "--port", str(port)]
    server = subprocess.Popen([sys.executable, "-m", "flashtalk_core", *command])
    try:
        asyncio.run(wait_until_open(server, found := f"http://127.0.0.1:{port}"))
        yield found
    finally:
        server.terminate()
        assert server.wait(30) in (0, 130, 143)


async def wait_until_open(server, address):
    start = time.monotonic()
    async with aiohttp.ClientSession() as client:
        while True:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() - start < START_LIMIT_S
            try:
                async with client.get(f"{address}/stats") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.2)


def frames_of_speech():
    """Return the rate of the bundled example, and it as 40 ms of s16le each."""
    with wave.open(str(EXAMPLE / "speech.wav")) as file:
        rate_hz = file.getframerate()
        size = rate_hz // FRAME_RATE_HZ
        return rate_hz, [file.readframes(size) for _ in range(NUM_FRAMES)]


async def speak(client, address, speech, clear_after):
    """Speak at the speed of speech; returns what came of it."""
    rate_hz, sound = speech
    async with client.ws_connect(f"{address}/live", max_msg_size=0) as live:
        await live.send_json({"type": "start", "format": "jpeg", "rate": rate_hz})
        events, arrived = [], []

        async def listen():
            async for received in live:
                if received.type is aiohttp.WSMsgType.BINARY:
                    number = FRAME.unpack(received.data[: FRAME.size])[1]
                    arrived.append((number, time.monotonic()))
                elif received.type is aiohttp.WSMsgType.TEXT:
                    events.append((received.json(), time.monotonic()))
                    if received.json()["type"] in ("idle", "error", "closed"):
                        return

        listening = asyncio.create_task(listen())
        await asyncio.sleep(1)
        start = time.monotonic()
        for index, frame in enumerate(sound):
            await asyncio.sleep(start + index / FRAME_RATE_HZ - time.monotonic())
            if index != clear_after:
                await live.send_bytes(frame)
                continue
            await live.send_json({"type": "clear"})
            cleared = time.monotonic()
            break
        else:
            cleared = None
            await live.send_json({"type": "end"})
        await asyncio.wait_for(listening, 20)
        return start, cleared, events, arrived


async def speak_at_once(address):
    speech = frames_of_speech()
    async with aiohttp.ClientSession() as client:
        clears = [NUM_FRAMES // 2, *[None] * (NUM_CLIENTS - 1)]
        found = await asyncio.gather(*(speak(client, address, speech, each) for each in clears))
        async with client.get(f"{address}/stats") as answer:
            return found, await answer.json()


def test_all_are_seen_in_time_and_one_is_interrupted(address, record_property):
    found, stats = asyncio.run(speak_at_once(address))
    responses_ms = []
    for start, cleared, events, arrived in found:
        kinds = [event["type"] for event, _ in events]
        assert kinds == ["ready", "speaking", "played", "idle"], events
        at = {event["type"]: moment for event, moment in events}
        responses_ms.append(round(1e3 * (at["speaking"] - start)))
        numbers = [number for number, _ in arrived]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        first_number, first_moment = arrived[0]
        late_s = [m - first_moment - (n - first_number) / FRAME_RATE_HZ for n, m in arrived]
        assert max(late_s) < LATE_S
        played = events[2][0]
        assert played["interrupted"] == (cleared is not None)
        if cleared is not None:
            record_property("interrupted after, ms", round(1e3 * (at["played"] - cleared)))
        else:
            assert played["seconds"] == NUM_FRAMES / FRAME_RATE_HZ
    record_property("response, ms", sorted(responses_ms))
    record_property("factor", found[0][2][0][0]["factor"])
    record_property("stats", {key: value for key, value in stats.items() if key != "per_session"})
