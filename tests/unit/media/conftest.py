import struct
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from flashtalk_core.media.audio.probe import AnalysisStream
from flashtalk_core.media.video.writer import Mp4Writer


def clicks(num_samples, at, channels=1):
    """Silence with a click at each sample of `at`."""
    audio = np.zeros((channels, num_samples), np.float32)
    audio[:, list(at)] = 0.9
    return audio


def voice(num_samples, rate_hz, seed=0):
    """Noise in syllables, loud and quiet, `(num_samples,)` float32."""
    rng = np.random.default_rng(seed)
    envelope = np.repeat(rng.uniform(0, 0.3, num_samples // (rate_hz // 8) + 1) ** 2, rate_hz // 8)
    return (rng.standard_normal(num_samples) * envelope[:num_samples]).astype(np.float32)


def encode_audio(path, audio, rate_hz, codec="pcm_f32le", layout=None, **tags):
    """Write `(C, n)` floats with PyAV in any codec it has."""
    layout = layout or {1: "mono", 2: "stereo", 6: "5.1"}[len(audio)]
    with av.open(str(path), "w") as container:
        container.metadata.update(tags)
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        for start in range(0, audio.shape[1], 1024):
            part = np.ascontiguousarray(audio[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate_hz, start
            frame.time_base = Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_wav(path, audio, rate_hz, mask=None):
    """Write `(C, n)` floats of any number of channels, with or without a channel mask."""
    channels, data = len(audio), np.ascontiguousarray(audio.T, "<f4").tobytes()
    head = struct.pack("<HIIHH", channels, rate_hz, 4 * rate_hz * channels, 4 * channels, 32)
    if mask is None:
        form = struct.pack("<H", 3) + head
    else:
        guid = bytes.fromhex("0300000000001000800000aa00389b71")
        form = struct.pack("<H", 0xFFFE) + head + struct.pack("<HHI", 22, 32, mask) + guid
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(part)) + part
        for name, part in ((b"fmt ", form), (b"data", data))
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def heard(info):
    """Return all of the model's audio input."""
    with AnalysisStream(info) as stream:
        return stream.read(0, round(info.duration_s * 16_000))


def write_video(path, audio, size_px=(32, 32), **options):
    """Write plain frames of alternating grey, a chunk at a time; return the writer."""
    with Mp4Writer(path, size_px, audio, preset="ultrafast", **options) as writer:
        for start in range(0, writer.num_frames, 28):
            stop = min(start + 28, writer.num_frames)
            writer.write(grey_frames(stop - start, start, size_px))
    return writer


def grey_frames(count, first=0, size_px=(32, 32)):
    """Return plain frames of alternating grey, ``(count, H, W, 3)``."""
    grey = (np.arange(first, first + count) % 8 * 30).astype(np.uint8)
    return np.broadcast_to(grey[:, None, None, None], (count, *size_px, 3))


@pytest.fixture(scope="session")
def make():
    """Makers of test data."""
    return SimpleNamespace(
        clicks=clicks,
        voice=voice,
        encode_audio=encode_audio,
        write_video=write_video,
        write_wav=write_wav,
        heard=heard,
        grey=grey_frames,
    )
