"""Boxes of MP4: partial files that another program changed, finished ones, tables of counts."""

import numpy as np

from flashtalk_core.media.audio.probe import probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.isobmff.counts import surplus_samples
from flashtalk_core.media.isobmff.defragment import count_fragmented_frames, write_plain_mp4
from flashtalk_core.media.isobmff.metadata import is_plain_mp4, replace_metadata
from flashtalk_core.media.video.writer import Mp4Writer

from ..mutate import mutated
from ..reader import MIB, Reader

RATE_HZ = 16_000


def rendered(folder):
    """Return a partial file and a finished one."""
    samples = np.random.default_rng(0).standard_normal((1, RATE_HZ)) * 0.1
    audio = probe_audio(AudioArray("noise", samples.astype(np.float32), RATE_HZ))
    with Mp4Writer(folder / "seed.mp4", (32, 32), audio) as writer:
        writer.write(np.zeros((25, 32, 32, 3), np.uint8))
        partial = writer.output.partial.read_bytes()
    return partial, (folder / "seed.mp4").read_bytes()


def changed_index(rng, seeds):
    """Damage a video where its index is: media data have no structure to get wrong."""
    data = rng.choice(seeds)
    cut = data.find(b"mdat") + 400
    return mutated(rng, [data[:cut], *(each[:cut] for each in seeds)]) + data[cut:]


def _open_partial(folder):
    path, durations = folder / "v.partial.mp4", {b"vide": RATE_HZ, b"soun": RATE_HZ}

    def read(content):
        path.write_bytes(content)
        count_fragmented_frames(path)
        write_plain_mp4(path, folder / "w.mp4", RATE_HZ, durations)

    return read


def _open_plain(folder):
    path = folder / "v.mp4"

    def read(content):
        path.write_bytes(content)
        is_plain_mp4(path)
        replace_metadata(path, folder / "w.mp4", {"comment": "new"})

    return read


def _open_counts(folder):
    path = folder / "v.mp4"

    def read(content):
        path.write_bytes(content)
        surplus_samples(path)

    return read


READERS = (
    Reader("partial files", lambda folder: list(rendered(folder)[:1]), _open_partial,
           changed_index, 6_000, memory_bytes=256 * MIB),
    Reader("plain indexes", lambda folder: list(rendered(folder)[1:]), _open_plain,
           changed_index, 6_000, memory_bytes=256 * MIB),
    Reader("counts of an index", lambda folder: list(rendered(folder)), _open_counts,
           changed_index, 4_000, memory_bytes=256 * MIB),
)  # fmt: skip
