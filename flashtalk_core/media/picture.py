"""Pictures: opening whatever people have, and fitting it to the size of the video.

Axis legend: H W pixels; tensors are channel first.
"""

from __future__ import annotations

import logging
import math
import struct
import warnings
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..config import require
from ..errors import InvalidInputError
from .input_path import check_input

_log = logging.getLogger(__name__)

MIN_PICTURE_PX = 16
"""Smallest side of a picture that is accepted."""
MAX_PICTURE_PX = 150_000_000
"""Most pixels a picture may have; decoding takes several bytes for each."""
MAX_ASPECT = 10
"""Longest side over shortest; beyond it nothing of a face survives the crop."""

# Behind transparent parts. Of all plain greys the middle one moves the mean and the deviation,
# which colour correction holds the video to, the least; white would wash it out.
_BACKDROP = (128, 128, 128)
_ANIMATED_FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
_FAULTS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)

FitMode = Literal["cover", "pad"]


def open_picture(path: str | Path) -> Image.Image:
    """Open a picture upright and in colour.

    The EXIF orientation is applied, transparency is laid over mid grey, 16-bit grey is scaled
    to 8 bits, and of an animation the first frame is taken.

    Args:
        path: Any file Pillow reads.

    Returns:
        An RGB picture of at least :data:`MIN_PICTURE_PX` a side.

    Raises:
        InvalidInputError: If there is no such file or it holds no usable picture.
    """
    path = check_input(path, "picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _read(path)
    except InvalidInputError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(f"picture {path}", "more than Pillow's limit of") from error
    except UnidentifiedImageError as error:
        size = path.stat().st_size
        raise InvalidInputError(
            f"picture {path}: its {size} bytes are no picture Pillow can read; use PNG or JPEG"
        ) from error
    except _FAULTS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidInputError(
            f"picture {path}: cannot be read ({reason}); it may be cut short, export it again"
        ) from error


def picture_from_pixels(pixels: NDArray[np.uint8], name: str = "picture") -> Image.Image:
    """Return pixels as a picture, transparency laid over mid grey.

    Args:
        pixels: ``(H, W, C)`` uint8, C is 1 (grey), 3 or 4.
        name: What messages call it.

    Raises:
        InvalidInputError: If it has another number of channels, or no usable shape.
    """
    height, width, channels = pixels.shape
    require(
        channels in (1, 3, 4),
        f"{name}: {channels} channels; use 1 (grey), 3 (colour) or 4 (with transparency)",
    )
    _check_shape(name, width, height)
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else np.ascontiguousarray(pixels))
    return _to_rgb(name, image)


def fit_picture(image: Image.Image, size_px: tuple[int, int], mode: FitMode = "cover") -> Tensor:
    """Scale a picture to the size of the video, bilinear and antialiased.

    Args:
        image: RGB picture.
        size_px: Height and width.
        mode: ``cover`` fills the frame and crops about the centre; ``pad`` keeps the whole
            picture, on mid grey.

    Returns:
        ``(3, H, W)`` uint8.

    Source: ``cover`` is SoulX-FlashTalk ``resize_and_centercrop`` @ 688982e, to the bit.
    """
    require(mode in ("cover", "pad"), f"picture fit {mode!r}: use 'cover' or 'pad'")
    height, width = size_px
    scales = height / image.height, width / image.width
    if mode == "pad":
        return _to_tensor(_padded(image, min(scales), size_px))
    scale = max(scales)
    resized = image.resize(
        (math.ceil(scale * image.width), math.ceil(scale * image.height)),
        resample=Image.Resampling.BILINEAR,
    )
    top, left = round((resized.height - height) / 2), round((resized.width - width) / 2)
    return _to_tensor(resized.crop((left, top, left + width, top + height)))


def to_model_range(pixels: Tensor) -> Tensor:
    """Map uint8 in ``[0, 255]`` to float32 in ``[-1, 1]``, any shape."""
    return (pixels.float() / 255 - 0.5) * 2


def from_model_range(values: Tensor) -> Tensor:
    """Map floats in ``[-1, 1]`` to uint8 in ``[0, 255]``, any shape; rounds down.

    Source: SoulX-FlashTalk ``run_pipeline`` @ 688982e, and the cast to uint8 of its script.
    """
    return (((values.float() + 1) / 2).clamp(0, 1) * 255).to(torch.uint8)


def to_pictures(frames: Tensor) -> Tensor:
    """Bring frames ``(3, f, H, W)`` in ``[-1, 1]`` to host memory, ``(f, H, W, 3)`` uint8."""
    pictures = from_model_range(frames).permute(1, 2, 3, 0).contiguous()
    if pictures.device.type != "cuda":
        return pictures.cpu()
    # A GPU writes to pinned memory ten times as fast; PyTorch keeps such memory for the next.
    host = torch.empty(pictures.shape, dtype=pictures.dtype, pin_memory=True)
    host.copy_(pictures, non_blocking=True)
    torch.cuda.current_stream(pictures.device).synchronize()
    return host


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        _check_shape(f"picture {path}", *image.size)
        if image.format in _ANIMATED_FORMATS and getattr(image, "n_frames", 1) > 1:
            _log.warning("picture %s: an animation; its first frame is used", path)
        image.load()
        upright = ImageOps.exif_transpose(image)
        return _to_rgb(f"picture {path}", upright)


def _check_shape(name: str, width: int, height: int) -> None:
    if width * height > MAX_PICTURE_PX:
        raise _too_large(name, f"{width}x{height} is more than")
    require(
        min(width, height) >= MIN_PICTURE_PX,
        f"{name}: {width}x{height} pixels; need at least "
        f"{MIN_PICTURE_PX}x{MIN_PICTURE_PX}, better 256 and more a side",
    )
    require(
        max(width, height) <= MAX_ASPECT * min(width, height),
        f"{name}: {width}x{height} pixels; the long side may be {MAX_ASPECT} times the "
        "short one at most, crop it",
    )


def _too_large(name: str, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{name}: {what} {MAX_PICTURE_PX // 10**6} million pixels; make it smaller"
    )


def _to_rgb(name: str, image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_8_bit(name, image)
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, (*_BACKDROP, 255))
        image = Image.alpha_composite(backdrop, coloured)
    return image.convert("RGB")


def _to_8_bit(name: str, image: Image.Image) -> Image.Image:
    """Scale 16-bit grey, or floats in [0, 1]; Pillow's own conversion clips at 255."""
    values = np.asarray(image, np.float64)
    white = 1.0 if image.mode == "F" else 65535.0
    lowest, highest = values.min(), values.max()
    require(
        bool(lowest >= 0 and highest <= white),
        f"{name}: grey values from {lowest:g} to {highest:g}, need 0 to {white:g}; "
        "save it as an 8-bit PNG",
    )
    return Image.fromarray(np.round(values * (255 / white)).astype(np.uint8))


def _padded(image: Image.Image, scale: float, size_px: tuple[int, int]) -> Image.Image:
    height, width = size_px
    inner_height = min(height, max(1, round(scale * image.height)))
    inner_width = min(width, max(1, round(scale * image.width)))
    resized = image.resize((inner_width, inner_height), resample=Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (width, height), _BACKDROP)
    canvas.paste(resized, ((width - inner_width) // 2, (height - inner_height) // 2))
    return canvas


def _to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
