"""Videos of all containers: frames and audio, and copies into other containers."""

import numpy as np

from flashtalk_core.media.video.reading.reader import probe_video, read_audio_part, read_frames_at
from flashtalk_core.media.video.remux import CONTAINERS, remux_video
from tests.unit.media.video.reading import video_files as files

from ..mutate import mutated
from ..reader import Reader
from .isobmff import changed_index, rendered

LIMIT_GB = 0.5


def _files(folder):
    """Return small videos of all containers and kinds."""
    audio = files.clicks(0.5, [0.2])
    parts = {"movflags": "frag_keyframe+empty_moov"}
    times = np.cumsum([0, *[1, 3, 2] * 3]).tolist()
    plain = files.write(folder / "a.mp4", audio=audio)
    files.write(folder / "b.mp4", times, rate=50, codec_options={"bf": "2", "g": "5"})
    files.write(folder / "c.mp4", audio=audio, container=parts)
    files.write(folder / "d.mov", audio=audio, audio_codec="pcm_s16le")
    files.write(folder / "e.mkv", audio=audio, audio_at_s=0.2)
    files.write(folder / "f.webm", codec="libvpx", audio=audio, audio_codec="libopus")
    files.write(folder / "g.avi", codec="mpeg4", audio=audio, audio_codec="mp3")
    files.write(folder / "h.ts", audio=audio)
    files.write(folder / "i.flv", audio=audio)
    files.write(folder / "j.mpg", codec="mpeg2video", audio=audio, audio_codec="mp2")
    files.write(folder / "k.mov", codec="prores_ks", pix_fmt="yuv422p10le", codec_options={})
    files.write(folder / "l.mov", codec="mjpeg", pix_fmt="yuvj420p", codec_options={})
    files.turned(plain, folder / "m.mp4", (0, 1, -1, 0))
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def _open_video(folder):
    path = folder / "video"

    def read(data):
        path.write_bytes(data)
        info = probe_video(path)
        timeline = info.timeline
        for start_s in (0.0, 0.2, float(timeline.duration_s) - 0.05):
            start = timeline.start_of(max(0.0, start_s))
            number = min(3, timeline.num_steps(start))
            if number:
                images = read_frames_at(path, timeline.frames_at(start, number), info, LIMIT_GB)
                assert images.shape == (number, *info.size_px, 3)
        read_audio_part(path, 0.0, float(1 / info.frame_rate_hz), info, LIMIT_GB)

    return read


def _rendered_and_others(folder):
    return [*rendered(folder), *_files(folder)]


def _changed(rng, seeds):
    data = rng.choice(seeds)
    return (changed_index if b"mdat" in data else mutated)(rng, [data, *seeds])


def _copied_to(suffix):
    def opened(folder):
        path = folder / "video"

        def read(data):
            path.write_bytes(data)
            remux_video(path, folder / f"copy{suffix}", {"comment": "new"})

        return read

    return opened


READERS = (
    Reader("videos", _files, _open_video, _changed, 3_000),
    *(
        Reader(f"copies to {suffix}", _rendered_and_others, _copied_to(suffix), _changed, 1_500)
        for suffix in CONTAINERS
    ),
)
