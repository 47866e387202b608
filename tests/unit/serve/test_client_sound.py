"""Sound of clients in other formats than their session's, and utterances that are posted."""

import asyncio
import re

import numpy as np
import pytest

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.live.audio.framer import AudioFormat
from flashtalk_core.serve import client_sound
from flashtalk_core.serve.client_sound import ClientSound, say
from flashtalk_core.serve.protocol import RefusedError

pytestmark = pytest.mark.cpu

SESSION = AudioFormat(24_000, 1)


class Heard:
    """A session that keeps what it hears, by utterance."""

    def __init__(self):
        self.blocks, self.num_ends, self.last_utterance, self._is_open = [], 0, 0, False
        self.turn, self.waiting_s = asyncio.Lock(), 0.0

    def push(self, samples, utterance=None):
        self.last_utterance += not self._is_open
        self._is_open = True
        self.blocks.append(samples)
        return True

    def end(self):
        self.num_ends += 1
        self._is_open = False

    def clear(self):
        self.blocks.clear()

    @property
    def samples(self):
        return np.concatenate([np.zeros((1, 0), np.float32), *self.blocks], axis=1)[0]


def tone(rate_hz, channels=1, seconds=0.5):
    """Return a tone of 400 Hz, the other way round in each second channel, at half its level."""
    values = 0.5 * np.sin(2 * np.pi * 400 * np.arange(round(seconds * rate_hz)) / rate_hz)
    both = np.stack([values * (1, 0.5)[channel] for channel in range(channels)], axis=1)
    return (both * 32767).astype("<i2").tobytes()


async def cut(data, size):
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize(
    ("rate_hz", "channels", "level"), [(24_000, 1, 0.5), (48_000, 2, 0.375), (22_050, 1, 0.5)]
)
@pytest.mark.parametrize("size", [333, 100_000])
def test_a_posted_utterance_has_the_sessions_format(rate_hz, channels, level, size):
    heard = Heard()
    sound = ClientSound(heard, SESSION, rate_hz, channels)
    number, seconds = asyncio.run(say(sound, cut(tone(rate_hz, channels), size)))
    assert (number, seconds) == (1, pytest.approx(0.5))
    assert len(heard.samples) == pytest.approx(12_000, abs=1)
    expected = level * np.sin(2 * np.pi * 400 * np.arange(len(heard.samples)) / 24_000)
    inner = slice(500, -500)  # a resampler rings at the ends
    assert np.abs(heard.samples - expected)[inner].max() < 0.002


def test_what_came_of_a_post_that_breaks_off_is_ended():
    async def broken():
        yield tone(24_000)[:1000]
        raise ConnectionResetError

    heard = Heard()
    with pytest.raises(ConnectionResetError):
        asyncio.run(say(ClientSound(heard, SESSION, 48_000), broken()))
    assert heard.num_ends == 2  # the one before it, and itself
    assert len(heard.samples) == pytest.approx(250, abs=1)


def test_nothing_posted_is_no_utterance():
    heard = Heard()
    assert asyncio.run(say(ClientSound(heard, SESSION, 48_000), cut(b"", 1))) == (None, 0.0)


def test_a_clear_forgets_what_the_resampler_holds():
    heard = Heard()
    sound = ClientSound(heard, SESSION, 48_000)
    sound.push(tone(48_000))
    sound.clear()
    sound.end()
    assert len(heard.samples) == 0


def test_an_utterance_waits_for_its_turn_only_so_long(monkeypatch):
    monkeypatch.setattr(client_sound, "TURN_S", 0.05)
    heard, may_end = Heard(), asyncio.Event()

    async def stalled():
        yield tone(24_000)
        await may_end.wait()

    async def test():
        first = asyncio.create_task(say(ClientSound(heard, SESSION, 24_000), stalled()))
        await asyncio.sleep(0.01)
        with pytest.raises(RefusedError, match="has not ended in") as refused:
            await say(ClientSound(heard, SESSION, 24_000), cut(tone(24_000), 1000))
        assert (refused.value.code, heard.num_ends) == ("busy", 1)
        may_end.set()
        assert await first == (1, 0.5)

    asyncio.run(test())


def test_what_has_no_room_yet_is_taken_as_the_rest_is_played():
    heard = Heard()
    heard.waiting_s = 59.0

    async def test():
        posted = asyncio.create_task(
            say(ClientSound(heard, SESSION, 24_000), cut(tone(24_000), 4_800))
        )
        await asyncio.sleep(0.01)
        assert (posted.done(), len(heard.samples)) == (False, 0)
        heard.waiting_s = 5.0
        assert await posted == (1, 0.5)

    asyncio.run(test())


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (
            b"RIFF\x24\x00\x00\x00WAVE",
            "a WAV file: send samples alone, s16le, 1 channel(s) of 24000",
        ),
        (b"OggS\x00\x02", "an Ogg file: .* decode it"),
        (b"ID3\x04\x00\x00", "an MP3 file"),
    ],
)
def test_a_file_is_no_sound(start, message):
    heard = Heard()
    sound = ClientSound(heard, SESSION, 24_000)
    with pytest.raises(InvalidInputError, match=re.escape(message).replace(r"\.\*", ".*")):
        sound.push(start)
    sound.push(tone(24_000))
    sound.push(b"RIFF")  # in the middle it is sound
    assert len(heard.samples) == 12_002
    sound.end()
    with pytest.raises(InvalidInputError):
        sound.push(start)


def test_half_a_sample_is_refused():
    with pytest.raises(InvalidInputError, match="whole samples"):
        ClientSound(Heard(), SESSION, 24_000, 2).push(b"123")
