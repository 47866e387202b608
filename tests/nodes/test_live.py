"""The Live node: a session from its beginning to its recording, by the routes that clients use."""

import asyncio
import functools
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from flashtalk_core.media.video.reading.measure import measure_video

aiohttp = pytest.importorskip("aiohttp", reason="the routes need ComfyUI's server")
from flashtalk_core.serve.limits import MAX_MESSAGE_BYTES  # noqa: E402
from tests.nodes.live_lamp import LampEngine, RunningNode, next_of, sound, words  # noqa: E402

pytestmark = pytest.mark.cpu

HIDDEN = {"unique_id": "7", "extra_pnginfo": {"workflow": {"id": "a-b-c", "nodes": []}}}
SMALL = {"steps": 1, "chunk_frames": 13, "filename_prefix": "talk"}


def running(test):
    """Run a coroutine as a test."""

    @functools.wraps(test)
    def run(*args, **given):
        asyncio.run(asyncio.wait_for(test(*args, **given), 60))

    return run


@pytest.fixture
def engine(pack, model, monkeypatch):
    """What draws instead of the model; its speed can be set."""
    lamp = LampEngine(pack, factor=0.1)
    kind = pack["nodes.graph.descriptions"].ModelDescription

    def engine_for(_model, _plan, events):
        lamp.residency_events = events
        return lamp

    monkeypatch.setattr(kind, "engine_for", engine_for)
    pack["nodes.preview.streams"].last_messages.cache_clear()
    return lamp


@pytest.fixture
def live(pack, model, engine):
    """Make a node that is to run; sound comes as speech unless said otherwise."""

    whole = {"model": model, "reference": pack.reference(), "source": "speech"}

    def make(**given):
        return RunningNode(pack, whole | SMALL | given, HIDDEN)

    return make


def path_of(node):
    assert node.error is None, node.error
    return Path(node.output.args[0].get_stream_source())


def brightness(path):
    """Return how bright each frame of a recording is."""
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="gray").mean() for frame in video.decode(video=0)]


@running
async def test_what_is_said_is_watched_and_recorded_until_somebody_ends_it(live, tmp_path):
    node = live()
    async with node.serving() as (address, client, first):
        assert (first["source"], first["rate_hz"], first["state"]) == ("speech", 24_000, "live")
        async with client.get(f"{address}/stream") as video:
            said = await client.post(f"{address}/say", data=sound(0.6))
            assert await said.json() == {"utterance": 1, "seconds": 0.6}
            assert (await video.content.readexactly(8))[4:] == b"ftyp"
        await node.told(lambda message: message["speaking"])
        count = len(node.messages)
        await node.told(lambda m: not m["speaking"] and m in node.messages[count:])
        assert await (await client.post(f"{address}/end")).json() == {"closed": True}
        await node.ended()
        async with client.post(f"{address}/say", data=b"") as late:
            assert late.status == 404
        async with client.get(address) as answer:
            assert (await answer.json())["state"] == "finished"
    path = path_of(node)
    assert measure_video(path).rate_hz == 24_000
    lit = [light > 125 for light in brightness(path)]
    assert 15 <= sum(lit) <= 19  # 0.6 s are 15 frames; the encoder blurs their ends
    last = node.messages[-1]
    assert (last["state"], last["reason"]) == ("finished", "closed")
    assert last["file"] == {"filename": path.name, "subfolder": "", "type": "output"}
    assert last["response_ms"] > 0
    assert [each.name for each in (tmp_path / "output").iterdir()] == [path.name]


@running
async def test_a_client_of_the_live_protocol_speaks_at_its_own_rate_and_interrupts(live):
    node = live()
    async with node.serving() as (address, client, first), client.ws_connect(address) as socket:
        await socket.send_json({"type": "start", "rate": 48_000, "channels": 2, "format": "rgb"})
        ready = await next_of(socket, "ready")
        assert (ready["rate"], ready["channels"], ready["session"]) == (48000, 2, first["session"])
        assert ready["stream"] == f"/flashtalk/live/{first['session']}/stream"
        await socket.send_bytes(sound(0.4, rate_hz=48_000, channels=2))
        await socket.send_json({"type": "end"})
        played = await next_of(socket, "played")
        assert (played["utterance"], played["interrupted"]) == (1, False)
        assert played["seconds"] == pytest.approx(0.4, abs=0.001)
        await socket.send_bytes(sound(20.0, rate_hz=48_000, channels=2)[:200_000])
        await next_of(socket, "speaking")
        await client.post(f"{address}/clear")
        played = await next_of(socket, "played")
        assert (played["utterance"], played["interrupted"]) == (2, True)
        await socket.send_bytes(bytes(MAX_MESSAGE_BYTES))
        await socket.send_bytes(bytes(MAX_MESSAGE_BYTES + 4))
        assert "send at most 262,144 at a time" in (await next_of(socket, "error"))["message"]
        await socket.send_json({"type": "close"})
        assert (await next_of(socket, "closed"))["reason"] == "closed"
    assert max(brightness(path_of(node))) > 125


class PromptQueue:
    """ComfyUI's queue, as far as ``/free`` uses it."""

    def __init__(self, **flags):
        self.flags = flags

    def set_flag(self, name, data):
        self.flags[name] = data

    def get_flags(self, reset=True):
        assert not reset, "ComfyUI itself is to see the others"
        return dict(self.flags)


@running
async def test_memory_is_freed_on_request_once_nobody_speaks(live, engine, pack, monkeypatch):
    queue, unloaded, noted = PromptQueue(), [], []
    server = pack["server"].PromptServer.instance
    monkeypatch.setattr(server, "prompt_queue", queue, raising=False)
    management = pack["comfy.model_management"]
    node = live()

    def session():
        (found,) = pack["nodes.preview.open_sessions"].open_sessions().values()
        return found.session.live

    def unload():
        unloaded.append(session().is_speaking)
        engine.is_unloaded = True
        session().note_cost = noted.append

    monkeypatch.setattr(management, "unload_all_models", unload)

    async with node.serving() as (address, client, _):
        await client.post(f"{address}/say", data=sound(1.0))
        await node.told(lambda message: message["speaking"])
        queue.flags = {"unload_models": True, "free_memory": True}
        async with asyncio.timeout(10):
            while not unloaded:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.6)
        assert await (await client.post(f"{address}/say", data=sound(0.4))).json()
        async with asyncio.timeout(10):
            while not noted:
                await asyncio.sleep(0.05)
        await client.post(f"{address}/end")
    assert unloaded == [False]
    assert not engine.is_unloaded
    assert max(cost.all_frames for cost in noted) < 0.5 * 25, "the time of loading is no chunk's"
    assert queue.flags == {"unload_models": False, "free_memory": True}


@running
async def test_a_video_that_nobody_watches_is_encoded_no_longer_and_begins_anew(
    live, pack, monkeypatch
):
    monkeypatch.setattr(pack["flashtalk_core.serve.session"], "UNWATCHED_S", 0.3)
    node = live()

    def encoders():
        (found,) = pack["nodes.preview.open_sessions"].open_sessions().values()
        return [one for one in found.session._outputs if one.name == "live-encoder"]

    async with node.serving() as (address, client, _):
        for _ in range(2):
            async with client.get(f"{address}/stream") as video:
                assert (await video.content.readexactly(8))[4:] == b"ftyp"
                await asyncio.sleep(1)  # longer than that, and it goes on while somebody watches
                assert len(encoders()) == 1
            async with asyncio.timeout(10):
                while encoders():
                    await asyncio.sleep(0.05)
        await client.post(f"{address}/end")
    assert path_of(node).is_file()


@running
async def test_a_microphone_is_heard_through_the_gate(live):
    node = live(source="microphone")
    async with node.serving() as (address, client, _):
        for piece in words(1.0):
            async with client.post(f"{address}/hear?rate=16000", data=piece) as answer:
                assert answer.status == 200
        await node.told(lambda message: message["speaking"])
        async with client.post(f"{address}/say", data=b"") as answer:
            assert answer.status == 400
            assert "choose 'speech' as source" in (await answer.json())["message"]
        async with client.post(f"{address}/hear?rate=12", data=b"") as answer:
            assert (await answer.json())["message"] == "start: rate 12: use 8000 to 48000"
        long = bytes(MAX_MESSAGE_BYTES + 2)
        async with client.post(f"{address}/hear?rate=48000", data=long) as answer:
            assert answer.status == 400
            message = (await answer.json())["message"]
            assert message == "the sound is longer than 262,144 bytes; send less"
        await client.post(f"{address}/end")
    assert path_of(node).is_file()


@pytest.mark.parametrize("likely", [0.9, 0.1])
@running
async def test_a_network_has_to_agree_that_a_microphone_hears_speech(
    live, pack, monkeypatch, likely
):
    network = SimpleNamespace(load_silero_vad=lambda: lambda window, rate_hz: likely)
    monkeypatch.setitem(sys.modules, "silero_vad", network)
    node = live(source="microphone", vad=True)
    async with node.serving() as (address, client, _):
        (found,) = pack["nodes.preview.open_sessions"].open_sessions().values()
        for piece in words(1.0):
            await client.post(f"{address}/hear?rate=16000", data=piece)
        assert (found.session.last_utterance > 0) == (likely > 0.5)
        await client.post(f"{address}/end")
    assert path_of(node).is_file()


def test_a_network_that_is_not_installed_is_named_before_weights_are_read(pack, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    kind = pack["nodes.graph.descriptions"].ModelDescription
    monkeypatch.setattr(kind, "engine_for", lambda *_: pytest.fail("weights were read"))
    given = {"model": model, "reference": pack.reference(), "source": "microphone", "vad": True}
    message = pack.error("Live", **given | SMALL)
    assert message.startswith("FlashTalk Live, input 'vad': speech detector 'silero': package")
    assert message.endswith('"silero-vad>=6,<7"`, or go by level alone')


@running
async def test_what_is_sent_as_speech_needs_no_network(live, monkeypatch):
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    node = live(vad=True)
    async with node.serving() as (address, client, _):
        await client.post(f"{address}/end")
    assert path_of(node).is_file()


@running
async def test_comfyuis_stop_keeps_the_recording(pack, live, tmp_path):
    node = live()
    async with node.serving() as (address, client, _), client.ws_connect(address) as socket:
        await socket.send_json({"type": "start"})
        await next_of(socket, "ready")
        await client.post(f"{address}/say", data=sound(0.4))
        await node.told(lambda message: message["speaking"])
        pack["comfy.model_management"].interrupt_current_processing()
        assert (await next_of(socket, "closed"))["reason"] == "stopped"
        await node.ended()
    stopped = pack["comfy.model_management"].InterruptProcessingException
    assert isinstance(node.error, stopped)
    (path,) = (tmp_path / "output").iterdir()
    assert measure_video(path).num_frames > 0
    last = node.messages[-1]
    assert (last["state"], last["file"]["filename"]) == ("interrupted", path.name)
    assert last["notes"][-1] == f"what was shown is in {path}"


@running
async def test_a_fault_while_drawing_ends_the_node_with_it_and_keeps_the_recording(
    live, engine, tmp_path
):
    engine.fault = RuntimeError("out of luck")
    node = live()
    async with node.serving() as (address, client, _):
        await client.post(f"{address}/say", data=sound(0.4))
        await node.ended()
    assert str(node.error) == "out of luck"
    assert node.messages[-1]["state"] == "failed"
    assert node.messages[-1]["reason"] == "out of luck"
    (path,) = (tmp_path / "output").iterdir()
    assert measure_video(path).num_frames > 0


@pytest.mark.parametrize(("limit", "reason"), [("session_s", "limit"), ("idle_s", "idle")])
@running
async def test_a_session_ends_by_its_limits(pack, live, monkeypatch, limit, reason):
    kind = pack["nodes.graph.session_settings"].SessionSettings
    read = kind.read

    def short(values):
        found = read(values)
        return replace(found, limits=replace(found.limits, **{limit: 0.3}))

    monkeypatch.setattr(kind, "read", short)
    node = live()
    async with node.serving():
        await node.ended()
    assert measure_video(path_of(node)).num_frames > 0
    assert node.messages[-1]["reason"] == reason


@running
async def test_the_opening_is_spoken_first(live, make):
    node = live(opening=make.audio(0.5, 44_100, channels=2))
    async with node.serving() as (address, client, _):
        await node.told(lambda message: message["speaking"])
        await client.post(f"{address}/end")
    assert max(brightness(path_of(node))) > 105


def test_slower_than_real_time_is_refused_with_the_factor_and_the_remedy(
    pack, model, engine, tmp_path
):
    engine.factor = 1.2
    given = {"model": model, "reference": pack.reference(), "source": "speech"} | SMALL
    message = pack.error("Live", **given)
    assert message.startswith("FlashTalk Live, input 'steps': a chunk takes 1.")
    assert "use a smaller size in FlashTalk Reference" in message
    assert not list((tmp_path / "output").glob("*"))


@running
async def test_slow_sessions_may_be_allowed(live, engine):
    engine.factor = 1.2
    node = live(allow_slow=True)
    async with node.serving() as (address, client, _):
        assert "stops and goes" in node.messages[-1]["notes"][-1]
        await client.post(f"{address}/end")
    assert path_of(node).is_file()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"opening": 61}, "input 'opening': opening of 61.0 s: at most 60 s wait to be spoken"),
        ({"prompt_changes": "5: She smiles"}, "input 'reference': 1 prompt change(s)"),
        ({"filename_prefix": "../a"}, "input 'filename_prefix': filename prefix '../a'"),
        ({"chunk_frames": 14}, "input 'chunk_frames': "),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_drawn(
    pack, model, engine, make, given, says
):
    changes = given.pop("prompt_changes", "")
    reference = pack.reference(prompt_changes=changes)
    if "opening" in given:
        given["opening"] = make.audio(given["opening"], 8_000)
    message = pack.error("Live", **{"model": model, "reference": reference} | SMALL | given)
    assert message.startswith(f"FlashTalk Live, {says}")


@running
async def test_other_sites_can_neither_watch_nor_speak_nor_end(live):
    foreign = {"Origin": "https://evil.example"}
    node = live()
    async with node.serving() as (address, client, _):
        for path in ("say", "hear", "clear", "end"):
            async with client.post(f"{address}/{path}", headers=foreign) as answer:
                assert answer.status == 403, path
            async with client.post(f"{address}x/{path}") as answer:
                assert answer.status == 404, path
        async with client.get(f"{address}/stream", headers=foreign) as answer:
            assert answer.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await client.ws_connect(address, headers=foreign)
        async with client.ws_connect(address) as socket:
            await socket.send_json({"type": "start", "prompt": "another"})
            refused = await next_of(socket, "error")
            assert refused["message"].startswith("start: prompt: this session's are those")
        async with client.ws_connect(address) as socket:
            await socket.send_json({"type": "start", "portrait": "A" * MAX_MESSAGE_BYTES})
            refused = await next_of(socket, "error")
            assert refused["message"].startswith("first message of 262,177 bytes: send at most")
        await client.post(f"{address}/end")
    assert node.error is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"colour_area": "no-mouth", "join_frames": 6}, ("no-mouth", 6)), ({}, (None, None)),
     ({"colour_area": "the model's own", "join_frames": -1}, (None, None))],
)  # fmt: skip
def test_what_is_done_to_frames_is_in_the_spec(pack, model, given, expected):
    """Workflows that were saved before these were inputs have neither."""
    plans, reference = pack["nodes.graph.session_plan"], pack.reference()
    values = {"seed": 0, "steps": 4, "shift": 3.0, "colour_strength": 1.0, "chunk_frames": 33}
    settings = plans.sampler_settings(reference, values | given)
    describe = pack["nodes.graph.render_plan"].describe_render
    sampling = describe(model, plans.unknown_speech(), reference, settings).spec.sampling
    assert (sampling.colour_area, sampling.join_frames) == expected


def test_each_run_is_another_session(pack):
    node = pack.nodes["FlashTalk_Live"]
    assert node.fingerprint_inputs() != node.fingerprint_inputs()
    assert node.GET_SCHEMA().not_idempotent
