"""A live session in a real ComfyUI: a prompt that runs until somebody ends it, by its routes."""

import asyncio

import aiohttp
import numpy as np
import pytest

from .graphs import CHAIN, add_node
from .videos import measure

pytestmark = pytest.mark.comfyui

RATE_HZ = 24_000
SPEECH = (
    (0.3 * np.sin(np.arange(RATE_HZ // 2) / 20) * np.sin(np.arange(RATE_HZ // 2) / 900) * 32767)
    .astype("<i2")
    .tobytes()
)


def live_graph(**given):
    graph = {
        name: {"class_type": CHAIN[name][0], "inputs": dict(CHAIN[name][1])}
        for name in ("image", "loader", "reference")
    }
    graph["reference"]["inputs"] |= {"size.width": 32, "size.height": 32}
    live = {
        "model": ["loader", 0], "reference": ["reference", 0], "source": "speech", "idle": "bank",
        "max_minutes": 5.0, "seed": 0, "steps": 1, "filename_prefix": "live/talk",
        "idle_minutes": 1.0, "allow_slow": True, "look_ahead": 0, "chunk_frames": 17, "shift": 5.0,
        "colour_strength": 1.0,
    }  # fmt: skip
    return add_node(graph, "live", "FlashTalk_Live", **live | given)


def told(listener, condition):
    """Return the first message of the node for which ``condition`` holds."""

    def is_it(message):
        return message.kind == "flashtalk.live" and condition(message.data)

    return listener.wait_for(is_it, 120).data


@pytest.fixture
def running(comfy, listener, server):
    """A session that listens: the id of its prompt, and its address."""
    prompt_id = comfy.queue(live_graph())
    session = told(listener, lambda data: data["session"])["session"]
    yield prompt_id, f"{server.url}/flashtalk/live/{session}"
    comfy.post("/interrupt")
    comfy.wait(prompt_id)


def talk(address, messages):
    """Say something by the live protocol, and return what was answered, by type."""

    async def run():
        found = {}
        async with aiohttp.ClientSession() as client, client.ws_connect(address) as socket:
            await socket.send_json({"type": "start", "rate": RATE_HZ, "format": "jpeg"})
            for message in messages:
                if isinstance(message, bytes):
                    await socket.send_bytes(message)
                else:
                    await socket.send_json({"type": message})
            while "played" not in found:
                received = await socket.receive(60)
                if received.type is aiohttp.WSMsgType.BINARY:
                    found["picture"] = received.data[24:]
                else:
                    found[received.json()["type"]] = received.json()
        return found

    return asyncio.run(run())


def post(address, data=b"", **headers):
    async def run():
        async with (
            aiohttp.ClientSession() as client,
            client.post(address, data=data, headers=headers) as answer,
        ):
            return answer.status, await answer.text()

    return asyncio.run(run())


def test_text_to_speech_is_spoken_watched_and_recorded_until_the_end(comfy, listener, running):
    prompt_id, address = running
    found = talk(address, [SPEECH, "end"])
    assert (found["ready"]["rate"], found["ready"]["source"]) == (RATE_HZ, "speech")
    played = {"utterance": 1, "seconds": 0.5, "interrupted": False}
    assert played.items() <= found["played"].items()
    assert found["picture"][:2] == b"\xff\xd8"
    assert post(f"{address}/say", SPEECH)[0] == 200
    told(listener, lambda data: data["speaking"])
    assert post(f"{address}/end", Origin="https://evil.example")[0] == 403
    assert post(f"{address}/end")[0] == 200
    outcome = comfy.wait(prompt_id)
    assert outcome.is_success, outcome.messages
    video = measure(comfy.video(outcome, "live"))
    assert video.num_frames > 12, "the half second that was played"
    assert video.is_exact
    last = told(listener, lambda data: data["state"] == "finished")
    assert last["reason"] == "closed"
    assert post(f"{address}/end")[0] == 404


def test_comfyuis_stop_ends_the_session_and_keeps_the_recording(comfy, listener, running):
    prompt_id, _ = running
    comfy.post("/interrupt")
    outcome = comfy.wait(prompt_id)
    assert outcome.messages["execution_interrupted"]["node_id"] == "live"
    last = told(listener, lambda data: data["state"] == "interrupted")
    file = last["file"]
    assert measure(comfy.output / file["subfolder"] / file["filename"]).num_frames > 0
