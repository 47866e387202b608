"""What may go wrong with a server, as data: what happens, and what the client is told.

Beside each a second session speaks, which must not notice.
"""

import asyncio
import base64
import functools
import io
import math
import struct
import zlib
from dataclasses import dataclass

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")
from PIL import Image  # noqa: E402
from yarl import URL  # noqa: E402

from flashtalk_core.live.decide import ChunkCost  # noqa: E402
from flashtalk_core.serve.protocol import message  # noqa: E402
from tests.unit.serve.lamp import Lamp, make_hub, next_of, serving, speech  # noqa: E402

pytestmark = pytest.mark.e2e


@dataclass
class Scene:
    """A server, and one client of it."""

    hub: object
    address: str
    client: aiohttp.ClientSession
    socket: aiohttp.ClientWebSocketResponse
    session: str

    def url(self, part=""):
        return f"{self.address}/sessions/{self.session}{part}"

    async def start(self, **fields):
        """Begin another session; return its socket and the answer."""
        socket = await self.client.ws_connect(f"{self.address}/live", max_msg_size=0)
        await socket.send_json({"type": "start"} | fields)
        return socket, await next_of(socket, "ready", "error")

    async def refused(self, **fields):
        socket, answer = await self.start(**fields)
        assert answer["type"] == "error", answer
        await socket.close()
        return f"{answer['code']}: {answer['message']}"

    async def error(self):
        told = await next_of(self.socket, "error")
        return f"{told['code']}: {told['message']}"

    async def still_speaks(self):
        """Say something, and return what was played of it."""
        await self.socket.send_json({"type": "end"})
        await self.socket.send_bytes(speech(5))
        await self.socket.send_json({"type": "end"})
        return f"played {(await next_of(self.socket, 'played'))['seconds']}"


def image(width, height):
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def png_head(width, height):
    """Return the beginning of an image file."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


# Messages


async def odd_length(scene):
    await scene.socket.send_bytes(b"123")
    return await scene.error() + "; " + await scene.still_speaks()


async def no_json(scene):
    await scene.socket.send_str("{end}")
    return await scene.error() + "; " + await scene.still_speaks()


async def unknown_type(scene):
    await scene.socket.send_json({"type": "stop"})
    return await scene.error() + "; " + await scene.still_speaks()


async def unknown_type_is_long(scene):
    await scene.socket.send_json({"type": "x" * 200_000})
    told = await scene.error()
    assert len(told) < 200
    return told + "; " + await scene.still_speaks()


async def ping_is_no_number(scene):
    await scene.socket.send_str('{"type": "ping", "x": [NaN, 1e999]}')
    return await scene.error() + "; " + await scene.still_speaks()


async def started_twice(scene):
    await scene.socket.send_json({"type": "start"})
    return await scene.error() + "; " + await scene.still_speaks()


async def flood(scene):
    for _ in range(21):
        await scene.socket.send_bytes(speech(75))
    told = await scene.error()
    await scene.socket.send_json({"type": "clear"})
    await next_of(scene.socket, "played")
    return told + "; " + await scene.still_speaks()


async def large_message(scene):
    await scene.socket.send_bytes(bytes(300_000))
    return await scene.error() + "; " + await scene.still_speaks()


async def clear_before_anything(scene):
    await scene.socket.send_json({"type": "clear"})
    return await scene.still_speaks()


async def clear_before_a_frame(scene):
    await scene.socket.send_bytes(speech(2))
    await scene.socket.send_json({"type": "clear"})
    return f"played {(await next_of(scene.socket, 'played'))['seconds']}"


async def end_without_sound(scene):
    await scene.socket.send_json({"type": "end"})
    return await scene.still_speaks()


# Starts


async def first_message_is_sound(scene):
    socket = await scene.client.ws_connect(f"{scene.address}/live")
    await socket.send_bytes(b"12")
    told = await next_of(socket, "error")
    return f"{told['code']}: {told['message']}"


async def first_message_is_no_start(scene):
    socket = await scene.client.ws_connect(f"{scene.address}/live")
    await socket.send_str(message("clear" * 1000))
    told = await next_of(socket, "error")
    return f"{told['code']}: {told['message']}"


async def no_first_message(scene):
    from flashtalk_core.serve import talker

    talker.START_TIMEOUT_S, usual = 0.2, talker.START_TIMEOUT_S
    try:
        socket = await scene.client.ws_connect(f"{scene.address}/live")
        told = await next_of(socket, "error")
    finally:
        talker.START_TIMEOUT_S = usual
    return f"{told['code']}: {told['message']}"


async def unknown_session(scene):
    return await scene.refused(session="nobody")


async def ended_session(scene):
    await scene.client.delete(scene.url())
    return await scene.refused(session=scene.session)


async def odd_rate(scene):
    return await scene.refused(rate=11_026)


async def portrait_is_no_image(scene):
    return await scene.refused(portrait=base64.b64encode(b"no image").decode())


async def portrait_is_tiny(scene):
    return await scene.refused(portrait=image(3, 3))


async def portrait_is_huge(scene):
    return await scene.refused(portrait=base64.b64encode(png_head(200_000, 200_000)).decode())


async def prompt_is_long(scene):
    return await scene.refused(prompt="x" * 3_000)


async def too_many(scene):
    sockets = [(await scene.start())[0] for _ in range(2)]
    told = await scene.refused()
    for socket in sockets:
        await socket.close()
    return told


# Pages of others


async def other_origin(scene):
    headers = {"Origin": "https://evil.example"}
    answer = await scene.client.get(f"{scene.address}/live", headers=headers)
    return f"{answer.status}: {(await answer.json())['message']}"


async def other_host(scene):
    answer = await scene.client.post(f"{scene.address}/sessions", headers={"Host": "evil.example"})
    return f"{answer.status}: {(await answer.json())['message']}"


async def out_of_the_folder(scene):
    states = []
    for path in ("page.js", "../app.py", "%2e%2e/app.py", "..%2fapp.py", "/etc/passwd"):
        url = URL(f"{scene.address}/page/{path}", encoded=True)  # as it is, dots and all
        states.append((await scene.client.get(url)).status)
    return " ".join(map(str, states))


# Requests


async def post_is_no_json(scene):
    answer = await scene.client.post(f"{scene.address}/sessions", data=b"rate=3")
    return f"{answer.status}: {(await answer.json())['message']}"


async def post_is_a_list(scene):
    answer = await scene.client.post(f"{scene.address}/sessions", json=[1])
    return f"{answer.status}: {(await answer.json())['message']}"


async def post_is_of_a_socket(scene):
    fields = {"session": scene.session, "format": "jpeg"}
    answer = await scene.client.post(f"{scene.address}/sessions", json=fields)
    return f"{answer.status}: {(await answer.json())['message']}"


async def say_to_a_microphone(scene):
    answer = await scene.client.post(f"{scene.address}/sessions", json={"source": "microphone"})
    url = f"{scene.address}/sessions/{(await answer.json())['session']}"
    answer = await scene.client.post(f"{url}/say", data=bytes(640))
    await scene.client.delete(url)
    return f"{answer.status}: {(await answer.json())['message']}"


async def http_where_sockets_are(scene):
    answer = await scene.client.get(f"{scene.address}/live")
    return f"{answer.status} {await told(answer)}"


async def no_such_path(scene):
    answer = await scene.client.get(f"{scene.address}/lives")
    return f"{answer.status} {await told(answer)}"


async def no_such_method(scene):
    answer = await scene.client.get(scene.url("/say"))
    return f"{answer.status} {await told(answer)} ({answer.headers['Allow']})"


async def body_is_huge(scene):
    answer = await scene.client.post(
        f"{scene.address}/sessions", data=io.BytesIO(bytes(30 * 2**20))
    )
    return f"{answer.status} {await told(answer)}"


async def body_is_of_millions_of_parts(scene):
    body = b'{"x": [' + b"[]," * 9_000_000 + b"1]}"
    answer = await scene.client.post(f"{scene.address}/sessions", data=io.BytesIO(body))
    return f"{answer.status} {await told(answer)}"


async def request_fails(scene):
    scene.hub.avatars.plan = lambda *_: 1 / 0
    answer = await scene.client.post(f"{scene.address}/sessions", json={"prompt": "x"})
    found = f"{answer.status} {await told(answer)}"
    assert "division" not in found
    return found


async def told(answer):
    fields = await answer.json()
    return f"{fields['code']}: {fields['message']}"


async def say_a_file(scene):
    wave = b"RIFF" + bytes(4) + b"WAVEfmt " + bytes(28)
    await scene.socket.send_bytes(wave)
    posted = await scene.client.post(scene.url("/say"), data=wave + speech(5))
    assert await told(posted) == await scene.error()
    return f"{posted.status} {await told(posted)}; " + await scene.still_speaks()


async def say_at_another_rate(scene):
    answer = await scene.client.post(scene.url("/say?rate=8000&channels=2"), data=bytes(32_000))
    wrong = await scene.client.post(scene.url("/say?rate=x"), data=bytes(32_000))
    return f"{(await answer.json())['seconds']} s; {wrong.status} {await told(wrong)}"


async def say_more_than_may_wait(scene):
    answer = await scene.client.post(scene.url("/say"), data=io.BytesIO(speech(25 * 61)))
    seconds = (await answer.json())["seconds"]
    await scene.socket.send_json({"type": "clear"})
    await next_of(scene.socket, "played")
    return f"{seconds} s; " + await scene.still_speaks()


async def say_half_a_sample(scene):
    answer = await scene.client.post(scene.url("/say"), data=bytes(32_001))
    return f"{(await answer.json())['seconds']} s"


async def say_breaks_off(scene):
    async def body():
        yield speech(10)
        raise asyncio.CancelledError

    with pytest.raises((asyncio.CancelledError, aiohttp.ClientError)):
        await scene.client.post(scene.url("/say"), data=body())
    return f"played {(await next_of(scene.socket, 'played'))['seconds']}"


async def seventeen_viewers(scene):
    answers = [await scene.client.get(scene.url("/stream")) for _ in range(17)]
    states = [answer.status for answer in answers]
    for answer in answers:
        answer.close()
    return f"{states.count(200)} watch; {states[-1]}"


# Connections


async def client_vanishes(scene):
    await scene.socket.send_bytes(speech(5))
    scene.socket._response.connection.transport.abort()
    await asyncio.sleep(0.3)
    socket, _ = await scene.start(session=scene.session)
    return f"played {(await next_of(socket, 'played'))['seconds']}"


async def two_talk(scene):
    other, _ = await scene.start(session=scene.session)
    received = await scene.socket.receive(5)
    scene.socket = other
    return f"closed {received.extra!r}; " + await scene.still_speaks()


async def client_reads_nothing(scene):
    from flashtalk_core.serve import talker

    talker.QUEUED_MESSAGES, usual = 3, talker.QUEUED_MESSAGES
    try:
        socket, _ = await scene.start(format="rgb")
    finally:
        talker.QUEUED_MESSAGES = usual
    socket._response.connection.transport.pause_reading()
    async with asyncio.timeout(20):
        while not scene.hub.counts.dropped_clients:
            # Sockets buffer megabytes: more pictures than a client usually gets fill them.
            for session in list(scene.hub._sessions.values()):
                for output in session._outputs:
                    output._output._send(bytes(2**20))
            await asyncio.sleep(0.05)
    socket._response.connection.transport.abort()
    await socket.close()
    return "dropped"


async def viewer_reads_nothing(scene):
    answer = await scene.client.get(scene.url("/stream"))
    answer.content._protocol.transport.pause_reading()
    session = scene.hub.find(scene.session)
    for number in range(40):
        session.stream().add(bytes(2**20), 10**6 + number, is_key=True)
    await asyncio.sleep(0.2)
    answer.close()
    return f"{session.stream().num_dropped} dropped; " + await scene.still_speaks()


# The server


async def drawing_fails(scene):
    lamp = next(iter(scene.hub.find(scene.session).avatar.engine.sources.values()))
    socket, ready = await scene.start()
    broken = scene.hub.find(ready["session"])

    def fail(job):
        raise RuntimeError("out of luck")
        yield

    object.__setattr__(broken._seat.drawer, "draw", fail)
    await socket.send_bytes(speech(40))
    told = await next_of(socket, "error")
    closed = await next_of(socket, "closed")
    assert isinstance(lamp, Lamp)
    assert "out of luck" not in told["message"]
    assert closed["reason"] == "error"
    assert (await scene.still_speaks()) == "played 0.2"
    return told["message"]


async def decision_fails(scene):
    socket, ready = await scene.start()
    broken = scene.hub.find(ready["session"]).live
    broken.costs[28] = ChunkCost(28, math.nan, math.nan)  # no frame follows from it
    broken.wake()
    closed = await next_of(socket, "closed")
    health = await scene.client.get(f"{scene.address}/health")
    return f"{closed['reason']}; health {health.status}; " + await scene.still_speaks()


async def drawing_thread_dies(scene):
    await asyncio.to_thread(scene.hub._drawing.stop)
    health = await scene.client.get(f"{scene.address}/health")
    return f"{health.status}: {await health.text()}"


async def encoder_fails(scene):
    session = scene.hub.find(scene.session)

    class Broken:
        def take(self, shown):
            raise OSError("disk full")

        def close(self, *, is_whole):
            raise OSError("disk still full")

    session.add_output("broken", Broken())
    await asyncio.sleep(0.2)
    return f"{len(session._outputs)} outputs; " + await scene.still_speaks()


async def server_stops(scene):
    await asyncio.to_thread(scene.hub.stop)
    return (await next_of(scene.socket, "closed"))["reason"]


FAULTS = [
    (odd_length, "input: sound of 3 bytes: a sample of 1 channel(s) has 2; send s16le, whole "
                 "samples a message; played 0.2"),
    (no_json, "input: message {end}: no JSON"),
    (unknown_type, "input: message 'stop': unknown; use end, clear, ping, stats or close; played"),
    (unknown_type_is_long, "message 'xxx"),
    (ping_is_no_number, "input: message 'ping': it holds NaN or an infinite number"),
    (started_twice, "message 'start': unknown; use end, clear, ping, stats or close; played"),
    (flood, "would wait to be played; at most 60 s may, send the rest when some of it has left; "
            "played 0.2"),
    (large_message, "message of 300,000 bytes; send at most 262,144 at a time; played 0.2"),
    (clear_before_anything, "played 0.2"),
    (clear_before_a_frame, "played 0.0"),
    (end_without_sound, "played 0.2"),
    (first_message_is_sound, "input: the first message is no text; send 'start' first"),
    (first_message_is_no_start, "clear'; send 'start' first"),
    (no_first_message, "input: no first message in 0.2 s"),
    (unknown_session, "session: session 'nobody': it ended, or never was; start a new one"),
    (ended_session, "it ended, or never was"),
    (odd_rate, "rate 11026: no multiple of 25 frames a second; send the sound at 16000"),
    (portrait_is_no_image, "input: image portrait: "),
    (portrait_is_tiny, "input: image portrait: "),
    (portrait_is_huge, "input: image portrait: "),
    (prompt_is_long, "input: start: prompt of 3000 characters; use at most 2000"),
    (too_many, "full: 4 sessions are open, and at most 4 can be (9 may speak at a time); try "
               "again later"),
    (other_origin, "403: page 'https://evil.example' is of another site"),
    (other_host, "403: host 'evil.example': without a token, use localhost or 127.0.0.1"),
    (out_of_the_folder, "200 404 404 404 404"),
    (post_is_no_json, "400: the body is no JSON; send the fields of 'start'"),
    (post_is_a_list, "400: the body is no JSON object"),
    (post_is_of_a_socket, "400: start: format, session: of a WebSocket alone; leave it out"),
    (say_to_a_microphone, "400: the session hears a microphone; begin one with"),
    (http_where_sockets_are, "400 input: /live: a WebSocket; connect as a client of one"),
    (no_such_path, "404 path: /lives: there is nothing; docs/LIVE_PROTOCOL.md has the paths"),
    (no_such_method, "/say: use POST (POST)"),
    (body_is_huge, "413 input: body of /sessions: too large"),
    (body_is_of_millions_of_parts, "400 input: message of 18,000,002 parts"),
    (request_fails, "500 internal: an error of the server; its log has it as "),
    (say_a_file, "400 input: sound that begins as a WAV file: send samples alone, s16le, "
                 "1 channel(s) of 16000 Hz; leave out its header (tail -c +45); played 0.2"),
    (say_at_another_rate, "1.0 s; 400 input: rate 'x': use a whole number"),
    (say_more_than_may_wait, "61.0 s; played 0.2"),
    (say_half_a_sample, "1.0 s"),
    (say_breaks_off, "played 0.4"),
    (seventeen_viewers, "16 watch; 503"),
    (client_vanishes, "played 0.2"),
    (two_talk, "closed 'another client came to this session'; played 0.2"),
    (client_reads_nothing, "dropped"),
    (viewer_reads_nothing, "1 dropped; played 0.2"),
    (drawing_fails, "the session ends: an error of the server; its log has it as "),
    (decision_fails, "error; health 200; played 0.2"),
    (drawing_thread_dies, "503: nothing is drawn any more: start the server again"),
    (encoder_fails, "0 outputs; played 0.2"),
    (server_stops, "server"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "expected"), FAULTS, ids=[act.__name__ for act, _ in FAULTS])
def test_a_fault_is_told_and_others_do_not_notice(act, expected):
    @functools.wraps(act)
    async def run():
        hub = make_hub(sessions=4)
        async with serving(hub) as (address, client):
            other = await client.ws_connect(f"{address}/live")
            await other.send_json({"type": "start"})
            await next_of(other, "ready")
            await other.send_bytes(speech(20))
            await other.send_json({"type": "end"})
            socket = await client.ws_connect(f"{address}/live", max_msg_size=0)
            await socket.send_json({"type": "start"})
            session = (await next_of(socket, "ready"))["session"]
            found = await act(Scene(hub, address, client, socket, session))
            assert expected in found
            if act not in (server_stops, drawing_thread_dies):
                assert (await next_of(other, "played"))["seconds"] == 0.8

    asyncio.run(asyncio.wait_for(run(), 30))
