"""Sentences as the core really writes them; prints them as JSON, the ones the page translates.

``python tests/js/raised.py`` makes each mistake once and keeps what is said about it.
"""

from __future__ import annotations

import errno
import json
import sys
import tempfile
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from stage import load_pack


def mistakes(folder: Path) -> dict[str, Any]:
    """Return what goes wrong, by what it is about: calls that raise."""
    from flashtalk_pack.flashtalk_core.config.avatar import AvatarConfig
    from flashtalk_pack.flashtalk_core.config.sampling import SamplingConfig
    from flashtalk_pack.flashtalk_core.engine import chunk
    from flashtalk_pack.flashtalk_core.engine.request import AvatarRequest, request_notes
    from flashtalk_pack.flashtalk_core.files.output_path import error_line
    from flashtalk_pack.flashtalk_core.geometry import check_size
    from flashtalk_pack.flashtalk_core.media.audio.notes import audio_notes
    from flashtalk_pack.flashtalk_core.media.audio.probe import probe_audio
    from flashtalk_pack.flashtalk_core.media.image.portrait import image_from_pixels, open_image
    from flashtalk_pack.flashtalk_core.media.video.reading.container import unreadable
    from flashtalk_pack.flashtalk_core.parallel.image_spread import WHOLE
    from flashtalk_pack.flashtalk_core.placement.devices import choose_device
    from flashtalk_pack.flashtalk_core.placement.memory_choice import (
        DeviceMemory,
        choose_memory,
    )
    from flashtalk_pack.flashtalk_core.placement.memory_plan import MemoryChoice
    from flashtalk_pack.flashtalk_core.placement.memory_sizes import model_sizes
    from flashtalk_pack.flashtalk_core.weights.discovery.search import in_model_folder
    from flashtalk_pack.flashtalk_core.weights.formats.tensor_file import open_tensor_file
    from flashtalk_pack.nodes.graph import model_report, video_part
    from flashtalk_pack.nodes.graph.prompt_lines import read_prompt_lines
    from flashtalk_pack.nodes.host.media import audio_array_of
    from flashtalk_pack.nodes.host.output import new_output

    config = AvatarConfig()
    sizes = model_sizes(config, (768, 448), config.chunk, torch.bfloat16)
    auto, card = MemoryChoice.parse("auto"), DeviceMemory(4 * 10**9, 6 * 10**9)
    text, empty = folder / "text.txt", folder / "empty.png"
    text.write_text("no picture, no sound, no weights " * 9)
    empty.touch()
    silent, none = (
        write_audio(folder, name, count) for name, count in (("silent", 8000), ("none", 0))
    )
    changing = write_audio(folder, "changing", 8000)
    full = OSError(errno.ENOSPC, "No space left on device")
    written, left = folder / "a.mp4", folder / "a.partial.mp4"
    image = draw(folder / "picture.png")
    request = AvatarRequest(
        image=open_image(image), prompt="", size_px=(64, 64), sampling=SamplingConfig()
    )
    batch = {"waveform": torch.zeros(2, 1, 80), "sample_rate": 16_000}
    nan = torch.tensor(np.nan)
    return {
        "no file": lambda: open_image(folder / "gone.png"),
        "a folder": lambda: open_image(folder),
        "an empty file": lambda: open_image(empty),
        "no picture": lambda: open_image(text),
        "a tiny picture": lambda: image_from_pixels(np.zeros((8, 8, 3), np.uint8)),
        "no weights": lambda: open_tensor_file(text.rename(folder / "text.safetensors")),
        "a cut picture": lambda: open_image(cut_short(image)),
        "no part": lambda: in_model_folder(folder, "vae").run(),
        "many parts": lambda: raise_(model_report._report([("model", "gone"), ("vae", "gone")])),
        "a full disk": lambda: raise_(error_line(written, left, 9, True, full)),
        "no name": lambda: new_output("FlashTalk/", (64, 64), ".mp4"),
        "a name elsewhere": lambda: new_output("../../away", (64, 64), ".mp4"),
        "a picture for a sound": lambda: probe_audio(image),
        "no sound": lambda: probe_audio(write_text(folder / "text.wav")),
        "an empty sound": lambda: probe_audio(none),
        "a late start": lambda: probe_audio(silent, start_s=3.0),
        "a duration of nothing": lambda: probe_audio(silent, duration_s=0.0),
        "two sounds": lambda: audio_array_of(batch),
        "no sound in it": lambda: raise_(audio_notes(probe_audio(silent))[0]),
        "a sound cut meanwhile": lambda: read_again(probe_audio(changing), 4000),
        "another sound meanwhile": lambda: read_again(probe_audio(changing), 8000, 1),
        "no numbers": lambda: chunk._check_finite(nan, 0, "the VAE's images are", WHOLE),
        "no video": lambda: raise_(unreadable(text, "Invalid data")),
        "a start behind a video": lambda: video_part._require_inside(False, 9.0, Fraction(8)),
        "too many frames": lambda: video_part.check_memory(9000, (768, 448), 8.0, 7056.0),
        "no steps": lambda: SamplingConfig(steps=0),
        "another size": lambda: raise_(request_notes(request, config)[0]),
        "an odd size": lambda: check_size((100, 448)),
        "a prompt line": lambda: read_prompt_lines("she smiles"),
        "prompts out of order": lambda: read_prompt_lines("5: She nods\n2: She smiles"),
        "no device": lambda: choose_device("meta:nonsense"),
        "too little memory": lambda: choose_memory(auto, sizes, card, fp8_unsupported=None),
    }


def raise_(fault: object) -> None:
    """Raise an error that was made, or what says the same."""
    raise fault if isinstance(fault, Exception) else ValueError(fault)


def cut_short(image: Path) -> Path:
    """Write the first half of an image."""
    data = image.read_bytes()
    path = image.with_name("cut.png")
    path.write_bytes(data[: len(data) // 2])
    return path


def draw(path: Path) -> Path:
    """Write an image that does not compress to nothing."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def read_again(audio: Any, count: int, sample: int = 0) -> None:
    """Read audio once more after its file was written again, with so many other samples."""
    from flashtalk_pack.flashtalk_core.media.audio.decoding.reader import AudioReader
    from flashtalk_pack.flashtalk_core.media.audio.marks import measured_blocks

    write_audio(audio.source.parent, audio.source.stem, count, sample)
    list(measured_blocks(AudioReader(audio.source), audio))


def write_text(path: Path) -> Path:
    path.write_text("no sound " * 99)
    return path


def write_audio(folder: Path, name: str, count: int, sample: int = 0) -> Path:
    """Write so many equal samples, silence by default."""
    path = folder / f"{name}.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, count, "NONE", ""))
        file.writeframes(bytes([sample, 0]) * count)
    return path


def said(call: Any) -> str:
    """Return the first line of what a mistake raises."""
    from flashtalk_pack.flashtalk_core.errors import FlashTalkError

    try:
        call()
    except (ValueError, FlashTalkError) as error:
        return str(error).splitlines()[0]
    raise AssertionError("nothing was raised")


def texts() -> dict[str, str]:
    """Return what is said of work that goes on."""
    from flashtalk_pack.nodes.preview import messages as preview

    reading = preview.READING.format(network=preview.NETWORKS["VideoVAE"])
    converting = preview.CONVERTING.format(container="mkv")
    plain = {
        name: getattr(preview, name) for name in ("CHECKING", "COPYING", "ENCODING", "FINISHING")
    }
    return plain | {"READING": reading, "CONVERTING": converting} | preview.NETWORKS


if __name__ == "__main__":
    load_pack()
    with tempfile.TemporaryDirectory() as name:
        found = {what: said(call) for what, call in mistakes(Path(name)).items()}
    json.dump(found | texts(), sys.stdout)
