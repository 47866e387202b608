"""Parity of audio and images.

Axis legend: F frames, W window.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ..config.chunk import ChunkConfig
from ..media.audio.loudness import LoudnessMeter, loudness_gain
from ..media.audio.windows import window_features
from ..media.image.colour import ColourReference, match_colours
from ..media.image.portrait import fit_image
from .bounds import EXACT, HOST, ParityResult, Placement, compare
from .golden import Golden, read_golden
from .networks import build_audio_encoder

_STRENGTH = "out.strength"


def check_audio(folder: Path, place: Placement) -> Iterator[ParityResult]:
    """Compare loudness, hidden states of both lengths, and windows in both forms."""
    golden = read_golden(folder, "wav2vec2")
    yield _check_loudness(golden)
    model = build_audio_encoder(golden, place)
    speech = golden["in.speech8s"].to(place.device)
    states: dict[str, Tensor] = {}
    for name in ("embedding8s", "embedding3s"):
        expected = golden[f"out.{name}"]
        num_samples = expected.shape[0] * ChunkConfig().samples_per_frame
        states[name] = model(speech[None, :num_samples], expected.shape[0])[0]
        yield compare("wav2vec2", name, states[name], expected, place.module_bound)
    for name, source in (("window_stream", "embedding8s"), ("window_once", "embedding3s")):
        expected = golden[f"out.{name}"]
        num_frames, width = expected.shape[1:3]
        stop = states[source].shape[0]
        windows = window_features(states[source], stop - num_frames, stop, radius=width // 2)
        yield compare("wav2vec2", name, windows[None], expected, place.module_bound)


def _check_loudness(golden: Golden) -> ParityResult:
    """Measured in float64 on the CPU, whatever runs the networks."""
    speech = golden["in.speech8s"]
    meter = LoudnessMeter(ChunkConfig().sample_rate_hz)
    meter.update(speech.numpy())
    normalised = speech.double() * loudness_gain(meter.integrated_lufs())
    expected = golden["out.loudness_normalised"]
    return compare("wav2vec2", "loudness_normalised", normalised, expected, HOST)


def check_colour(folder: Path, place: Placement) -> Iterator[ParityResult]:
    """Compare frames matched to an image at every recorded strength."""
    golden = read_golden(folder, "colour")
    image = golden["in.reference"][0, :, 0].to(place.device, place.dtype)
    video = golden["in.video"][0].to(place.device, place.dtype)
    reference = ColourReference.from_image(image)
    for name in sorted(golden.tensors):
        if name.startswith(_STRENGTH):
            matched = match_colours(video, reference, float(name.removeprefix(_STRENGTH)))
            yield compare(
                "colour",
                name.removeprefix("out."),
                matched,
                golden[name][0],
                place.module_bound,
            )


def check_image(folder: Path, _place: Placement) -> Iterator[ParityResult]:
    """Compare a fitted image; always on the CPU, to the bit."""
    golden = read_golden(folder, "image")
    expected = golden["out.resized_cropped"][0, :, 0]
    fitted = fit_rgb(golden["in.rgb"], (expected.shape[1], expected.shape[2]))
    yield compare("image", "resized_cropped", fitted, expected, EXACT)


def fit_rgb(rgb: Tensor, size_px: tuple[int, int]) -> Tensor:
    """Fit a recorded image, ``(H, W, 3)`` uint8, to ``size_px``; ``(3, H, W)`` uint8."""
    from PIL import Image

    return fit_image(Image.fromarray(rgb.numpy()), size_px)
