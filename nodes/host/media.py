"""ComfyUI's AUDIO, IMAGE, CONDITIONING and CLIP_VISION_OUTPUT as the core takes them.

Axis legend: B batch, C channels, n samples, H W pixels, L tokens, D width.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...flashtalk_core.borders import library_border
from ...flashtalk_core.errors import InvalidInputError, about, require
from ...flashtalk_core.log import printable_log

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image
    from torch import Tensor

    from ...flashtalk_core.media.audio.info import AudioInfo
    from ...flashtalk_core.media.audio.source import AudioArray
    from ...flashtalk_core.media.image.faces.detection import FaceBox

AUDIO_NAME = "AUDIO"
_WHOLE_NUMBERS = ("uint8", "int16", "int32")
"""Types of samples as files have them; 128 is silence in the first."""
_MAX_BEYOND = 0.1
"""Share of an IMAGE's values that may be out of range before its scale is doubted."""

_log = printable_log(logging.getLogger(__name__))


def audio_array_of(audio: Mapping[str, Any] | None) -> AudioArray:
    """Return a native AUDIO as audio of the core.

    Args:
        audio: ``waveform`` ``(1, C, n)``, and ``sample_rate`` in Hz. Other packs leave dimensions
            out: ``(n,)`` is mono, ``(C, n)`` is without a batch, and ``(n, C)``, as files are often
            read, where only that gives a number of channels that exists. Tensors, arrays and lists
            of numbers are accepted, floats with full scale at 1, and whole numbers as in files.

    Raises:
        InvalidInputError: If it is a batch, or holds no audio.
    """
    from ...flashtalk_core.media.audio.source import AudioArray

    require(
        audio is not None,
        "audio: nothing arrives, the video it comes from has no audio; connect speech",
    )
    waveform = _with_batch(_numbers(audio))
    batch = waveform.shape[0]
    require(
        batch == 1,
        f"audio batch of {batch}: one audio clip makes one video; use a batch of 1, and queue "
        "the others one by one",
    )
    samples = waveform[0].float().contiguous().numpy()
    return AudioArray(AUDIO_NAME, samples, int(audio["sample_rate"]))


def _numbers(audio: Mapping[str, Any]) -> Tensor:
    """Return the waveform on the CPU, full scale at 1."""
    import torch

    # Packs hand over mappings that read their file when they are asked, and raise anything.
    with library_border(_no_audio):
        waveform = torch.as_tensor(audio["waveform"]).detach().cpu()
        int(audio["sample_rate"])
    _require_plain(waveform, "audio", "correct the node it comes from")
    if waveform.is_floating_point():
        return waveform
    kind = str(waveform.dtype).removeprefix("torch.")
    require(
        kind in _WHOLE_NUMBERS,
        f"audio: samples of type {kind}, whose full scale is not known; use floats from -1 to 1, "
        f"or {', '.join(_WHOLE_NUMBERS)}",
    )
    found = torch.iinfo(waveform.dtype)
    middle = (found.max + 1) / 2 if found.min == 0 else 0
    return (waveform.double() - middle) / (middle or found.max + 1)


def _no_audio(reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"audio: no waveform with a sample_rate ({reason}); correct the node it comes from"
    )


def _with_batch(waveform: Tensor) -> Tensor:
    """Add the dimensions that are not there; see :func:`audio_array_of`."""
    from ...flashtalk_core.media.audio.source import MAX_CHANNELS

    shape = tuple(waveform.shape)
    require(
        1 <= len(shape) <= 3,
        f"audio of shape {shape}: need batch, channels and samples; correct the node it comes from",
    )
    if len(shape) == 3:
        return waveform
    if len(shape) == 1:
        return waveform[None, None]
    is_turned = shape[0] > MAX_CHANNELS >= shape[1] >= 1
    return (waveform.mT if is_turned else waveform)[None]


@about("soundtrack")
def soundtrack_of(
    audio: Mapping[str, Any] | None, start_s: float, speech: AudioInfo
) -> AudioInfo | None:
    """Return a native AUDIO as what is heard instead of ``speech``, ``None`` of none.

    Raises:
        InvalidInputError: If it is a batch, or holds no audio.
    """
    from ...flashtalk_core.media.audio.probe import measure_soundtrack

    return None if audio is None else measure_soundtrack(audio_array_of(audio), start_s, speech)


def audio_of(audio: AudioArray) -> dict[str, Any]:
    """Return audio of the core as a native AUDIO; see :func:`audio_array_of`."""
    import torch

    return {"waveform": torch.from_numpy(audio.samples)[None], "sample_rate": audio.rate_hz}


def read_audio(path: Path) -> AudioArray:
    """Return all of a short audio file.

    Raises:
        InvalidInputError: If there is no such file, or no audio in it.
    """
    import numpy as np

    from ...flashtalk_core.media.audio.decoding.reader import AudioReader
    from ...flashtalk_core.media.audio.source import AudioArray

    with AudioReader(path) as reader:
        samples = np.concatenate(list(reader.blocks()), axis=1)
        return AudioArray(path.name, samples, reader.rate_hz)


def pil_image_of(image: Tensor) -> Image:
    """Return a native IMAGE as a Pillow image.

    Args:
        image: ``(1, H, W, 3)``, or 4 with transparency, floats in ``[0, 1]``.

    Raises:
        InvalidInputError: If it is a batch, or holds values that are no numbers.
    """
    import torch

    from ...flashtalk_core.media.image.portrait import image_from_pixels

    require(
        image.ndim == 4,
        f"image of shape {tuple(image.shape)}: need batch, height, width and channels; correct the "
        "node it comes from",
    )
    batch = image.shape[0]
    require(
        batch == 1,
        f"image batch of {batch}: one portrait is animated; pick one, for instance with "
        "Image From Batch, or make a video of each with Rebatch Images at a batch_size of 1",
    )
    require(
        bool(image.isfinite().all()),
        "image: it holds NaN or infinite values; use another image, or correct its node",
    )
    values = image[0].detach().cpu().float()
    _warn_of_scale(values)
    pixels = values.clamp(0, 1).mul_(255).round_().to(torch.uint8)
    return image_from_pixels(pixels.numpy())


def with_mask(image: Tensor, mask: Tensor | None) -> Tensor:
    """Return a native IMAGE with a native MASK as its transparency.

    Args:
        image: ``(1, H, W, C)``.
        mask: ``(1, H, W)`` or ``(H, W)``, 1 where the image is transparent; ``None``, or nothing
            but zeros, of any size, as Load Image gives for an image without transparency.

    Raises:
        InvalidInputError: If it is of another size, or holds values that are no numbers.
    """
    if mask is None or not bool(mask.any()):
        return image
    import torch

    with about("mask"):
        found = mask[None] if mask.ndim == 2 else mask
        size, wanted = tuple(found.shape), tuple(image.shape[:3])
        require(
            size == wanted,
            f"mask of shape {size}: the image is of {wanted}; use the mask of its own Load Image",
        )
        require(bool(found.isfinite().all()), "mask: it holds NaN or infinite values")
    colours = image[..., :3].expand(-1, -1, -1, 3)
    opaque = 1 - found.to(colours).clamp(0, 1)
    return torch.cat([colours, opaque[..., None]], dim=-1)


def mask_of(mask: Tensor, name: str) -> Image:
    """Return a native MASK as a Pillow image ``L``.

    Args:
        mask: ``(1, H, W)`` or ``(H, W)``, floats in ``[0, 1]``.
        name: Of the input, for messages.

    Raises:
        InvalidInputError: If it is a batch, or of another shape.
    """
    import torch
    from PIL import Image as PillowImage

    planes = mask[None] if mask.ndim == 2 else mask
    with about(name):
        require(
            planes.ndim == 3 and planes.shape[0] == 1 and planes.numel() > 0,
            f"{name} of shape {tuple(mask.shape)}: need one mask, 1 x height x width; pick "
            "one of a batch",
        )
    pixels = planes[0].detach().cpu().float().nan_to_num().clamp(0, 1).mul(255).round()
    return PillowImage.fromarray(pixels.to(torch.uint8).numpy())


def image_of(image: Image) -> Tensor:
    """Return a Pillow image as a native IMAGE; see :func:`pil_image_of`."""
    import numpy as np
    import torch

    return torch.from_numpy(np.asarray(image, np.float32) / 255)[None]


def faces_of(image: Image) -> tuple[FaceBox, ...]:
    """Return the faces of an image, at least one.

    Raises:
        InvalidInputError: If there is none, or nothing that finds them.
    """
    from ...flashtalk_core.media.image.faces.detection import find_faces
    from ...flashtalk_core.media.image.faces.framing import NO_FACE
    from .folders import face_detector_path

    faces = find_faces(image, face_detector_path())
    require(bool(faces), NO_FACE, subject="fit")
    return faces


def portrait_of(image: Tensor, mask: Tensor | None, *, finds_faces: bool) -> dict[str, Any]:
    """Return what a reference has of a native IMAGE: the ``image``, and its ``faces`` if asked."""
    portrait = pil_image_of(with_mask(image, mask))
    return {"image": portrait, "faces": faces_of(portrait) if finds_faces else None}


def encoded_by_host(conditioning: list[Any] | None, output: Any) -> dict[str, Any]:
    """Return what a reference has that ComfyUI's own nodes have encoded; see both functions."""
    return {"context": context_of(conditioning), "clip_tokens": clip_tokens_of(output)}


def _warn_of_scale(values: Tensor) -> None:
    """Warn of an IMAGE in another scale; single values beyond 0 and 1 are usual."""
    beyond = ((values > 1.5) | (values < -0.25)).float().mean().item()
    if beyond > _MAX_BEYOND:
        _log.warning(
            "image: its values run from %.3g to %.3g, those of an IMAGE from 0 to 1; what is "
            "beyond becomes black or white, scale it in the node it comes from",
            values.min().item(),
            values.max().item(),
        )


@about("context")
def context_of(conditioning: list[Any] | None) -> Tensor | None:
    """Return the one prompt of a native CONDITIONING, ``(L, D)``, or ``None``.

    Raises:
        InvalidInputError: If it holds several prompts, none, or values that are no numbers.
    """
    if conditioning is None:
        return None
    remedy = "connect a single CLIP Text Encode"
    are_pairs = isinstance(conditioning, list | tuple) and all(
        isinstance(encoded, list | tuple) and encoded for encoded in conditioning
    )
    if not are_pairs:
        kind = type(conditioning).__name__
        raise InvalidInputError(f"conditioning: {kind} is no encoded prompt; {remedy}")
    prompts = [encoded[0] for encoded in conditioning]
    for prompt in prompts:
        _require_tokens(prompt, "conditioning", remedy)
    count = sum(prompt.shape[0] for prompt in prompts)
    require(count == 1, f"conditioning of {count} prompts: one is used; {remedy}")
    context: Tensor = next(prompt for prompt in prompts if len(prompt))[0]  # others are empty
    _require_finite(context, "conditioning")
    return context


@about("clip_tokens")
def clip_tokens_of(output: Any) -> Tensor | None:
    """Return the tokens ``(1, L, D)`` of a native CLIP_VISION_OUTPUT, or ``None``.

    Raises:
        InvalidInputError: If it is a batch, holds none, or values that are no numbers.
    """
    if output is None:
        return None
    tokens = getattr(output, "penultimate_hidden_states", None)
    _require_tokens(tokens, "clip vision output", "connect CLIP Vision Encode")
    require(
        tokens.shape[0] == 1,
        f"clip vision output of {tokens.shape[0]} images: one is used; encode the portrait alone",
    )
    _require_finite(tokens, "clip vision output")
    return tokens


def _require_tokens(values: Any, name: str, remedy: str) -> None:
    """Refuse what is no batch of encoded tokens, ``(B, L, D)``."""
    import torch

    require(
        isinstance(values, torch.Tensor),
        f"{name}: {type(values).__name__} is no tensor; {remedy}",
    )
    _require_plain(values, name, remedy)
    shape = tuple(values.shape)
    require(
        len(shape) == 3 and 0 not in shape[1:] and values.is_floating_point(),
        f"{name} of shape {shape} and {values.dtype}: need batch, tokens and their width, as "
        f"floats; {remedy}",
    )


def _require_plain(values: Tensor, name: str, remedy: str) -> None:
    """Refuse tensors that are not strided, real and materialised in memory."""
    import torch

    is_plain = values.layout == torch.strided and not (values.is_nested or values.is_quantized)
    require(
        is_plain and values.device.type != "meta" and not values.is_complex(),
        f"{name}: {values.dtype}, {values.layout} on {values.device} holds no plain numbers; "
        f"{remedy}",
    )


def _require_finite(values: Tensor, name: str) -> None:
    require(
        bool(values.float().isfinite().all()),  # FP8 dtypes have no isfinite
        f"{name}: it holds NaN or infinite values; encode it in another dtype",
    )
