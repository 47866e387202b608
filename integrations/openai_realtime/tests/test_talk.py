"""The example with the real openai library, a stand-in for the service, and a real server."""

import asyncio
import base64
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from aiohttp import WSMsgType, web
from flashtalk_client import LiveAvatar, Start
from openai import AsyncOpenAI

TALK = Path(__file__).parents[1] / "talk.py"


@pytest.fixture
def talk():
    spec = importlib.util.spec_from_file_location("talk", TALK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Service:
    """Speaks 3 s at once for every response, and goes on sending for a while when cancelled."""

    def __init__(self, tone):
        self.sound, self.received, self.num_responses = tone(3.0), [], 0

    async def talk(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            event = json.loads(message.data)
            self.received.append(event)
            if event["type"] == "response.create":
                self.num_responses += 1
                await self.respond(socket, f"r{self.num_responses}", f"i{self.num_responses}")
            elif event["type"] == "response.cancel":
                await self.delta(socket, "r1", "i1", self.sound)
                await socket.send_json({"type": "response.done", "response": {"id": "r1"}})
        return socket

    async def respond(self, socket, response, item):
        await socket.send_json({"type": "response.created", "response": {"id": response}})
        for start in range(0, len(self.sound), 9_600):
            await self.delta(socket, response, item, self.sound[start : start + 9_600])
        if response != "r1":  # the first is still being made when it is interrupted
            await socket.send_json({"type": "response.output_audio.done", "item_id": item})
            await socket.send_json({"type": "response.done", "response": {"id": response}})

    async def delta(self, socket, response, item, sound):
        await socket.send_json(
            {
                "type": "response.output_audio.delta", "response_id": response, "item_id": item,
                "content_index": 0, "delta": base64.b64encode(sound).decode(),
            }
        )  # fmt: skip

    def of(self, kind):
        return [event for event in self.received if event["type"] == kind]


@pytest.fixture
async def service(tone):
    service = Service(tone)
    app = web.Application()
    app.router.add_get("/v1/realtime", service.talk)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield service
    await runner.cleanup()


@pytest.mark.parametrize(
    ("address", "message"),
    [(None, "error: Missing credentials"), ("127.0.0.1", "error: FlashTalk server '127.0.0.1'")],
)
def test_what_is_missing_is_said_in_a_line_and_no_session_is_left(server, address, message):
    variables = {name: value for name, value in os.environ.items() if "OPENAI" not in name}
    command = [sys.executable, str(TALK), address or server]
    found = subprocess.run(command, env=variables, input="", capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stderr.startswith(message)
    assert "Traceback" not in found.stderr
    with urlopen(f"{server}/stats") as answer:
        assert json.load(answer)["open_sessions"] == 0


async def test_what_was_not_heard_is_cut_from_the_transcript(talk, server, service):
    async def lines():
        yield "tell me a story"
        await asyncio.sleep(1.5)
        yield "stop, another one"
        await asyncio.sleep(1.0)

    avatar = await LiveAvatar.connect(server, Start(rate=24_000, pictures="none"))
    client = AsyncOpenAI(api_key="none", base_url=service.url)
    async with client.realtime.connect(model="gpt-realtime") as agent:
        conversation = talk.Talk(avatar, agent)
        await asyncio.wait_for(conversation.run(lines()), 30)
        assert conversation.items == {1: "i1", 2: "i2"}, "an utterance for each answer"
    await avatar.close()
    assert len(service.of("response.cancel")) == 1
    (cut,) = service.of("conversation.item.truncate")
    assert (cut["item_id"], cut["content_index"]) == ("i1", 0)
    assert 300 < cut["audio_end_ms"] < 1600
