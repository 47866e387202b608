"""Small videos of all kinds, made with PyAV: what phones, screens and editors write."""

import struct
from fractions import Fraction
from itertools import count

import av
import numpy as np

from flashtalk_core.media.video.reading.reader import probe_video, read_frames_at

SIZE = 48, 32
"""Width and height."""
RATE_HZ = 48_000


_STEP = 15
"""Greys of a digit in base 16, far enough apart for any encoder."""


def image(number, size=SIZE):
    """A frame whose halves encode its number."""
    made = np.empty((size[1], size[0], 3), np.uint8)
    made[:, : size[0] // 2] = 10 + number // 16 * _STEP
    made[:, size[0] // 2 :] = 10 + number % 16 * _STEP
    return made


def quarters(size=SIZE):
    """Red, green above blue, white: each orientation looks different."""
    width, height = size
    made = np.zeros((height, width, 3), np.uint8)
    top, left = slice(0, height // 2), slice(0, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    made[top, left], made[top, right] = (200, 40, 40), (40, 200, 40)
    made[bottom, left], made[bottom, right] = (40, 40, 200), (220, 220, 220)
    return made


def clicks(duration_s, at_s):
    """Silence with a loud tone of 10 ms at each time, mono."""
    audio = np.zeros((1, round(duration_s * RATE_HZ)), np.float32)
    for time_s in at_s:
        start = round(time_s * RATE_HZ)
        audio[0, start : start + 480] = 0.8 * np.sign(np.sin(np.arange(480) * 0.3) + 1e-9)
    return audio


def numbers_of(images):
    """The number of the frame that each image shows."""
    images = np.asarray(images)
    quarter = images.shape[2] // 4
    halves = images[:, :, :quarter].mean((1, 2, 3)), images[:, :, -quarter:].mean((1, 2, 3))
    high, low = (np.round((half * 255 - 10) / _STEP).astype(int) for half in halves)
    return (high * 16 + low).tolist()


def click_of(waveform, rate_hz):
    """Time of the first click, seconds."""
    loud = np.abs(np.asarray(waveform)).reshape(-1) > 0.3
    return int(loud.argmax()) / rate_hz if loud.any() else None


def write(
    path, times=None, images=None, *, rate=25, tick=None, codec="libx264", pix_fmt="yuv420p",
    audio=None, audio_codec="aac", audio_at_s=0.0, video_at_s=0.0, container=None, mux=None,
    codec_options=None, audio_first=False, prepare=None,
):  # fmt: skip
    """Write a video; return its path.

    Args:
        path: File to write.
        times: Ticks at which the frames are shown; the ten first ones if left out.
        images: What they show, their numbers if left out.
        rate: Frames a second that the container is told.
        tick: Seconds of a tick; ``1 / rate`` if left out.
        codec: Encoder of the video track.
        pix_fmt: Its pixel format.
        audio: ``(C, n)`` floats at :data:`RATE_HZ`, or none.
        audio_codec: Its encoder.
        audio_at_s: How much later it starts.
        video_at_s: How much later the video track starts.
        container: Options of the muxer.
        mux: Gets each packet before it is written, and says whether it is.
        codec_options: Options of the encoder.
        audio_first: Whether the audio is the first track.
        prepare: Gets the stream before the encoder is opened.
    """
    times = range(10) if times is None else times
    images = (image(number) for number in count()) if images is None else iter(images)
    tick = 1 / Fraction(rate) if tick is None else Fraction(tick)
    with av.open(str(path), "w", options=container or {}) as output:
        track = None
        if audio is not None and audio_first:
            track = output.add_stream(audio_codec, rate=RATE_HZ, layout="mono")
        stream = output.add_stream(codec, rate=rate, options=codec_options or {"crf": "4"})
        first = next(images)
        stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], pix_fmt
        stream.codec_context.time_base = tick
        if prepare is not None:
            prepare(stream)
        if audio is not None and track is None:
            track = output.add_stream(audio_codec, rate=RATE_HZ, layout="mono")
        packets = _video_packets(stream, times, first, images, tick, video_at_s)
        if track is not None:
            packets += _audio_packets(track, audio, audio_at_s)
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        for packet in packets:
            if mux is None or mux(packet):
                output.mux(packet)
    return path


def _video_packets(stream, times, first, images, tick, at_s):
    packets = []
    for index, ticks in enumerate(times):
        frame = av.VideoFrame.from_ndarray(first if index == 0 else next(images), format="rgb24")
        frame.pts, frame.time_base = ticks, tick
        packets += stream.encode(frame)
    packets += stream.encode(None)
    return [_moved(packet, at_s) for packet in packets]


def _audio_packets(track, audio, at_s):
    packets = []
    size = track.codec_context.frame_size or 1024
    for start in range(0, audio.shape[1], size):
        part = np.ascontiguousarray(audio[:, start : start + size])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, start
        frame.time_base = Fraction(1, RATE_HZ)
        packets += track.encode(frame)
    packets += track.encode(None)
    return [_moved(packet, at_s) for packet in packets]


def _moved(packet, at_s):
    ticks = round(Fraction(at_s) / packet.time_base)
    packet.pts += ticks
    packet.dts += ticks
    return packet


def changed(path, target, change):
    """Write a file again, its bytes changed by ``change``."""
    data = bytearray(path.read_bytes())
    change(data)
    target.write_bytes(data)
    return target


def put(data, kind, offset, *numbers, nth=0):
    """Write 32-bit numbers into the payload of the ``nth`` box of a kind."""
    at = -1
    for _ in range(nth + 1):
        at = data.index(kind, at + 1)
    struct.pack_into(f">{len(numbers)}I", data, at + 4 + offset, *numbers)


def turned(path, target, matrix):
    """Write an MP4 again with another display matrix, ``(a, b, c, d)`` as it is applied."""
    fixed = [round(value * 65536) & 0xFFFFFFFF for value in matrix]
    a, b, c, d = fixed
    # Version 0: the matrix begins 40 bytes behind the flags.
    return changed(path, target, lambda data: put(data, b"tkhd", 40, a, b, 0, c, d, 0))


def read_frames(path, start, count, info=None, **limit):
    """Return frames one after the other, ``(count, H, W, 3)`` float32."""
    return read_frames_at(path, range(start, start + count), info or probe_video(path), **limit)
