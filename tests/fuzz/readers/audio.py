"""Audio files of every kind, read alike in every pass; and WAV headers of all numbers."""

import io
import struct
from fractions import Fraction
from random import Random

import av
import numpy as np
import soundfile

from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.notes import audio_notes
from flashtalk_core.media.audio.probe import AnalysisStream, probe_audio

from ..mutate import mutated
from ..reader import Reader

RATE_HZ = 48_000
FFMPEG = [
    ("wav", "pcm_s16le"), ("wav", "pcm_u8"), ("wav", "adpcm_ms"), ("w64", "pcm_s16le"),
    ("aiff", "pcm_s16be"), ("au", "pcm_s16be"), ("caf", "pcm_s24le"), ("caf", "alac"),
    ("flac", "flac"), ("mp3", "libmp3lame"), ("mp4", "aac"), ("mov", "pcm_s16le"),
    ("ipod", "alac"), ("adts", "aac"), ("ogg", "libopus"), ("ogg", "flac"),
    ("webm", "libopus"), ("matroska", "aac"), ("matroska", "pcm_f32le"), ("mpegts", "aac"),
    ("mpegts", "mp2"), ("flv", "aac"), ("avi", "pcm_s16le"), ("asf", "wmav2"), ("ac3", "ac3"),
    ("tta", "tta"), ("wv", "wavpack"),
]  # fmt: skip
LIBSNDFILE = [
    ("WAV", "PCM_16", "BIG"), ("WAV", "FLOAT", "BIG"), ("AU", "G721_32", "FILE"),
    ("OGG", "VORBIS", "FILE"), ("OGG", "OPUS", "FILE"), ("MAT5", "FLOAT", "FILE"),
    ("PAF", "PCM_16", "FILE"), ("NIST", "PCM_16", "FILE"), ("XI", "DPCM_16", "FILE"),
    ("SDS", "PCM_16", "FILE"), ("AIFF", "PCM_24", "LITTLE"), ("CAF", "ALAC_16", "FILE"),
    ("VOC", "ULAW", "FILE"), ("RF64", "PCM_16", "FILE"), ("SVX", "PCM_16", "FILE"),
]  # fmt: skip


def _voice(channels):
    rng = np.random.default_rng(channels)
    return rng.normal(0, 0.1, (channels, 24_000)).astype(np.float32)


def _by_ffmpeg(form, codec, audio, gap_s=0.0, num_tracks=1):
    """Return a file; with a gap, its second half comes later."""
    file = io.BytesIO()
    layout = "mono" if len(audio) == 1 else "stereo"
    with av.open(file, "w", format=form) as container:
        tracks = [
            container.add_stream(codec, rate=RATE_HZ, layout=layout) for _ in range(num_tracks)
        ]
        for track in tracks:
            track.bit_rate = 64_000
        size = tracks[0].codec_context.frame_size or 1024
        for start in range(0, audio.shape[1], size):
            part = np.ascontiguousarray(audio[:, start : start + size])
            for track in tracks:
                frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
                frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
                frame.pts = start + (start > audio.shape[1] // 2) * round(gap_s * RATE_HZ)
                container.mux(track.encode(frame))
        for track in tracks:
            container.mux(track.encode(None))
    return file.getvalue()


def _by_libsndfile(form, subtype, order, audio):
    file = io.BytesIO()
    soundfile.write(file, audio.T, 16_000, subtype, order, form)
    return file.getvalue()


def _files(folder):
    """Return small files of all formats, with gaps, several tracks and joined parts."""
    mono, stereo = _voice(1), _voice(2)
    files = []
    for form, codec in FFMPEG:
        files += [_by_ffmpeg(form, codec, stereo if codec != "adpcm_ms" else mono)]
    for form in ("mp4", "matroska", "mpegts", "flv"):
        files += [_by_ffmpeg(form, "aac", mono, 0.7)]
    files += [_by_ffmpeg("mp4", "aac", mono, 0, 2), _by_ffmpeg("matroska", "aac", mono, 0, 2)]
    files += [_by_libsndfile(*kind, mono[:, :4000]) for kind in LIBSNDFILE]
    ogg = _by_libsndfile("OGG", "VORBIS", "FILE", mono)
    files += [ogg + _by_libsndfile("OGG", "VORBIS", "FILE", stereo) + ogg]
    mp3 = _by_ffmpeg("mp3", "libmp3lame", mono)
    return [*files, mp3 + _by_ffmpeg("mp3", "libmp3lame", stereo), mp3 + mp3[500:]]


def read_twice(path):
    """Measure audio and read the model's input, as a render does."""
    info = probe_audio(path)
    for note in audio_notes(info):
        assert note.isprintable(), note
    assert info.num_samples > 0
    num_heard = min(32_000, round(info.duration_s * 16_000))
    with AnalysisStream(info) as stream:
        assert np.isfinite(stream.read(-640, num_heard)).all()
    with AudioReader(path) as reader:
        found = reader.blocks(info.start_sample, info.num_samples)
        assert sum(block.shape[1] for block in found) == info.num_samples


def _opened(name):
    def opened(folder):
        path = folder / name

        def read(data):
            path.write_bytes(data)
            read_twice(path)

        return read

    return opened


def _wav_files(folder):
    return [_wav(Random(number)) for number in range(8)]


def _changed_wav(rng, seeds):
    return _wav(rng) if rng.random() < 0.7 else mutated(rng, seeds)


def _wav(rng):
    """Return a WAV file whose every number may be another."""
    numbers = [0, 1, 2, 3, 4, 8, 16, 24, 32, 40, 64, 0x40, 0x55, 0xFF, 0xFFFE, 0xFFFF]
    large = [0, 1, 999, 1000, 8000, 48_000, 768_000, 768_001, 2**31 - 1, 2**31, 2**32 - 1]

    def some(usual, others):
        return rng.choice(others) if rng.random() < 0.2 else usual

    channels, bits = some(2, numbers), some(16, numbers)
    form = struct.pack(
        "<HHIIHH", some(1, numbers), channels, some(16_000, large), some(64_000, large),
        some(4, numbers), bits,
    )  # fmt: skip
    data = rng.randbytes(rng.choice((0, 1, 3, 400, 4000)))
    chunks = [(b"fmt ", form), (b"data", data)]
    if rng.random() < 0.3:
        chunks.insert(
            rng.randrange(3), (rng.choice((b"LIST", b"data", b"fmt ", b"\0\xff\0\0")), form)
        )
    body = b"".join(
        kind + struct.pack("<I", some(len(part), large)) + part + b"\0" * (len(part) % 2)
        for kind, part in chunks
    )
    return (
        some(b"RIFF", [b"RIFX", b"RF64"])
        + struct.pack("<I", some(len(body), large))
        + b"WAVE"
        + body
    )


READERS = (
    Reader("audio", _files, _opened("sound"), share=8_000),
    Reader("WAV headers", _wav_files, _opened("sound.wav"), _changed_wav, 4_000),
)
