"""Messages to the page while a render runs."""

import io
import urllib.error
import urllib.request
from itertools import pairwise

import pytest
from PIL import Image

from .client import Client
from .graphs import SIZE_PX, TWO_CHUNKS_S, avatar_graph
from .websocket import Listener

pytestmark = pytest.mark.comfyui

STEPS = 20
NUM_CHUNKS = 2
FOUR_CHUNKS_S = 4.4
EVENT = "flashtalk.stream"
LARGEST_JUMP = 0.3
"""Of the whole bar. ComfyUI sends at most ten messages a second, so quick machines jump further."""


@pytest.fixture(scope="module")
def messages(server):
    """All that one render says."""
    comfy = Client(server.url, server.base / "output")
    settings = {
        "sampler.steps": STEPS,
        "speech.duration": TWO_CHUNKS_S,
        "preview.filename_prefix": "progress/avatar",
    }
    with Listener(server.port, comfy.id) as listener:
        comfy.render(avatar_graph(settings))
        listener.wait_for(lambda message: message.kind == "execution_success")
        return listener


def test_the_bar_moves_on_without_gaps_to_its_end(messages):
    states = [message.data["nodes"] for message in messages.of_kind("progress_state")]
    bar = [nodes["preview"] for nodes in states if "preview" in nodes]
    shares = [0.0, *(state["value"] / state["max"] for state in bar)]
    jumps = [after - before for before, after in pairwise(shares)]
    assert min(jumps) >= 0
    assert max(jumps) <= LARGEST_JUMP
    assert shares[-1] == 1.0


def test_every_chunk_shows_an_image(messages):
    previews = messages.of_kind("preview")
    assert len(previews) >= NUM_CHUNKS
    for preview in previews:
        with Image.open(io.BytesIO(preview.data)) as image:
            assert image.format == "JPEG"
            assert image.width == image.height >= SIZE_PX


def test_the_stream_says_how_far_it_is_and_no_text_is_put_on_the_node(messages):
    sent = [message.data for message in messages.of_kind(EVENT)]
    assert sent[0]["text"] == "checking"
    chunks = [data["chunk"] for data in sent if data["frames"]]
    # Within the first one only where a network is read then, which tests before may have done.
    assert chunks[chunks[0] == 0 :] == [1, 2, NUM_CHUNKS]
    assert sent[-1]["state"] == "finished"
    assert messages.of_kind("binary") == []


@pytest.fixture
def clients(server):
    """Two users, and one that listens to nothing."""
    found = [Client(server.url, server.base / "output") for _ in range(3)]
    found[2].id = None
    return found


def render_and_listen(client, listener, seed):
    """Render, and return the streams that the listener knows after it."""
    settings = {"preview.filename_prefix": "progress/clients", "sampler.seed": seed}
    client.render(avatar_graph(settings))
    return {message.data["session"] for message in listener.of_kind(EVENT)} - {None}


def test_only_the_client_that_queued_hears_of_a_stream(server, clients):
    owner, other, script = clients
    with Listener(server.port, owner.id) as own, Listener(server.port, other.id) as others:
        (first,) = render_and_listen(owner, own, seed=5)
        render_and_listen(script, own, seed=6)
        # It comes last, so that whatever was sent to all has arrived before.
        (second,) = render_and_listen(other, others, seed=7)
        others.wait_for(lambda message: message.kind == "execution_success")
        own.wait_for(lambda message: message.kind == "execution_success")
        assert first != second
        assert {message.data["session"] for message in own.of_kind(EVENT)} == {None, first}


def test_a_client_that_connects_again_goes_on_hearing(server, clients):
    # A page that is loaded again has the id it had before.
    comfy = clients[0]
    settings = {
        "sampler.steps": STEPS,
        "speech.duration": FOUR_CHUNKS_S,
        "preview.filename_prefix": "progress/again",
    }
    with Listener(server.port, comfy.id) as first:
        prompt_id = comfy.queue(avatar_graph(settings))
        session = first.wait_for(lambda message: _chunk(message) == 1).data["session"]
    with Listener(server.port, comfy.id) as second:
        missed = comfy.get_json(f"/flashtalk/stream/{session}/message")
        assert (missed["session"], missed["state"]) == (session, "live")
        second.wait_for(lambda message: _chunk(message) > 1)
        second.wait_for(lambda message: message.kind == "execution_success")
    comfy.wait(prompt_id)
    last = second.of_kind(EVENT)[-1].data
    assert (last["session"], last["state"]) == (session, "finished")
    assert comfy.get_json(f"/flashtalk/stream/{session}/message") == last


def test_the_page_alone_gets_what_is_said_of_its_stream(server, clients):
    """Under the name by which it reaches the server, and under no made-up name."""
    comfy, host = clients[0], "comfy.example.com"
    with Listener(server.port, comfy.id, host) as listener:
        (session,) = render_and_listen(comfy, listener, seed=8)
    found = [
        _status(f"{server.url}/flashtalk/stream/{session}/message", headers)
        for headers in (
            {},
            {"Host": host},
            {"Host": host, "Origin": f"https://{host}"},
            {"Sec-Fetch-Site": "same-origin"},
            {"Host": "evil.example"},
            {"Host": host, "Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "same-site"},
        )
    ]
    assert found == [200, 200, 200, 200, 403, 403, 403]


def _status(url, headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def _chunk(message):
    return message.data["chunk"] if message.kind == EVENT else 0
