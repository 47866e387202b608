"""What WebRTC needs of this project: pieces of sound, servers, what is said without aiortc."""

import sys

import numpy as np
import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.serve.webrtc.ice import IceServer
from flashtalk_core.serve.webrtc.pieces import Arrivals, PieceCutter

pytestmark = pytest.mark.cpu


def tone(seconds, rate_hz):
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate_hz)) / rate_hz)


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_pieces_say_when_they_begin_and_lose_nothing(rate_hz, channels):
    sound = np.repeat(tone(2.0, rate_hz)[None], channels, axis=0).astype(np.float32)
    cutter = PieceCutter(rate_hz, channels, 25)
    step = rate_hz // 25
    found = []
    for frame in range(50):
        part = sound[:, frame * step : (frame + 1) * step]
        found += cutter.process(1000 + frame, part)
    starts = [start for start, _ in found]
    assert starts == list(range(1000 * 1920, 1000 * 1920 + 960 * len(starts), 960))
    assert len(starts) >= 97  # a resampler keeps some back
    pieces = np.concatenate([np.frombuffer(data, "<i2").reshape(-1, channels) for _, data in found])
    wanted = tone(2.0, 48_000)[: len(pieces)]
    inside = slice(500, -500)
    assert np.abs(pieces[inside, -1] / 32_768 - wanted[inside]).max() < 0.003


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_what_arrives_keeps_its_time_where_packets_are_lost(rate_hz):
    arrivals = Arrivals(rate_hz, 1)
    sound = np.repeat((tone(2.0, 48_000) * 32_767).astype(np.int16)[:, None], 2, axis=1)
    lost = {7, 30, 31, 32}
    blocks = [
        arrivals.process(5_000 + 960 * number, 48_000, sound[960 * number : 960 * (number + 1)])
        for number in range(100)
        if number not in lost
    ]
    heard = np.concatenate(blocks, axis=1)[0]
    piece = rate_hz // 50
    assert len(heard) > 98 * piece
    wanted = tone(2.0, rate_hz)[: len(heard)].copy()
    wanted[30 * piece : 33 * piece] = 0
    wanted[7 * piece : 8 * piece] = 0
    error = np.abs(heard - wanted).reshape(-1)
    assert np.median(error) < 0.002
    assert np.abs(heard[31 * piece : 32 * piece]).max() < 0.02


def test_a_sender_that_was_away_or_changes_its_codec_goes_on_where_it_is():
    arrivals = Arrivals(48_000, 2)
    piece = np.ones((960, 2), np.int16)
    assert arrivals.process(0, 48_000, piece).shape == (2, 960)
    assert arrivals.process(960 + 24_000, 48_000, piece).shape == (2, 960 + 24_000)
    assert arrivals.process(10_000_000, 48_000, piece).shape == (2, 960)
    assert arrivals.process(0, 48_000, piece).shape == (2, 960)  # time went back
    assert arrivals.process(77, 8_000, np.ones((160, 1), np.int16)).shape[0] == 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("stun:example.org:3478", IceServer("stun:example.org:3478")),
        ("turn:me:secret@10.0.0.1:3478?transport=tcp",
         IceServer("turn:10.0.0.1:3478?transport=tcp", "me", "secret")),
        ("turns:me:secret@a.org", IceServer("turns:a.org", "me", "secret")),
    ],
)  # fmt: skip
def test_ice_servers_are_read_as_aiortc_reads_them(text, wanted):
    found = IceServer.parse(text)
    assert found == wanted
    transport = pytest.importorskip("aiortc.rtcicetransport", reason="needs aiortc")
    assert transport.parse_stun_turn_uri(found.url)["host"] in found.url


@pytest.mark.parametrize(
    "text",
    [
        "", "http://a.org", "stun:", "turn:a.org", "stun:me:secret@a.org", "turn:me@a.org",
        "stun:[::1]:3478", "stun:a.org:99999", "stun:a.org:0", "stun:a.org:x", "stun:a.org:1:2",
        "stun:a.org?transport=tcp", "stun://a.org",
    ],
)  # fmt: skip
def test_what_is_no_ice_server_is_told_without_its_password(text):
    with pytest.raises(InvalidInputError, match="use stun:HOST:PORT") as told:
        IceServer.parse(text)
    assert "secret" not in str(told.value)


def test_without_aiortc_the_routes_tell_how_to_get_it(monkeypatch):
    pytest.importorskip("aiohttp", reason="the server needs aiohttp")
    import asyncio

    from flashtalk_core.serve.hub import LiveHub
    from flashtalk_core.serve.limits import ServerLimits
    from tests.unit.serve.lamp import LampAvatars, serving

    monkeypatch.setitem(sys.modules, "aiortc", None)
    monkeypatch.setitem(sys.modules, "aiortc.mediastreams", None)
    for name in ("peer", "tracks"):
        monkeypatch.delitem(sys.modules, f"flashtalk_core.serve.webrtc.{name}", raising=False)

    async def test():
        async with serving(LiveHub(LampAvatars(), ServerLimits())) as (address, client):
            for path in ("/whip", "/whep", "/sessions/any/offer"):
                answer = await client.post(address + path, data="v=0")
                assert answer.status == 501
                told = await answer.json()
                assert told["code"] == "package"
                assert 'pip install "aiortc>=1.14,<2"' in told["message"]

    asyncio.run(test())


def test_sound_that_cannot_be_taken_is_logged_once(caplog):
    pytest.importorskip("aiortc", reason="WebRTC needs aiortc")
    import asyncio

    from aiortc.mediastreams import MediaStreamError
    from av import AudioFrame

    from flashtalk_core.live.audio.sound import LiveSound
    from flashtalk_core.serve.webrtc.peer import Peer

    takes = iter([False, False, True, False, False])

    class Session:
        id, sound = "a session", LiveSound(48_000)

        def push(self, samples):
            if not next(takes):
                raise InvalidInputError("60.1 s would wait to be played")

        def end(self):
            """Do nothing."""

        def why_over(self):
            return ""

    class Track:
        num_frames = 0

        async def recv(self):
            if self.num_frames == 5:
                raise MediaStreamError
            frame = AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), layout="mono")
            frame.sample_rate, frame.pts = 48_000, 960 * self.num_frames
            self.num_frames += 1
            return frame

    async def listen():
        peer = Peer(Session(), (), lambda _: None, speaks=True, watches=False)
        await peer._listen(Track())
        await peer._closing

    asyncio.run(listen())
    assert [one.message for one in caplog.records if one.levelname == "WARNING"] == [
        "session a sess drops sound: 60.1 s would wait to be played"
    ] * 2
