"""Images: opening files of many formats, and fitting them to the size of the video.

Axis legend: H W pixels; tensors are channel first.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...config.avatar import FitMode
from ...errors import require
from ...files.input_path import check_input
from .border import image_errors
from .file import ImageFile, read_image
from .limits import check_bytes, check_shape
from .rgb import BACKDROP, finished_image


def open_image(path: str | Path) -> Image.Image:
    """Open an image upright and in the colours that a browser shows.

    The EXIF orientation is applied, colour profiles and tags are converted to sRGB, transparency
    is laid over mid grey, 16-bit grey is scaled to 8 bits, of an animation the first frame is
    taken, and an image of more than 30 million pixels is reduced.

    Args:
        path: A file of one of :data:`formats.FORMATS`, whatever it is called.

    Returns:
        An RGB image of at least :data:`.limits.MIN_IMAGE_PX` a side.

    Raises:
        InvalidInputError: If there is no such file or it holds no usable image.
    """
    return _open(path, lambda image: image)


def open_mask(path: str | Path) -> Image.Image:
    """Open an image that is white, or painted on transparency, where something is.

    Returns:
        ``L``: where the image is transparent anywhere its opacity, else its brightness.

    Raises:
        InvalidInputError: See :func:`open_image`.
    """
    return _open(path, _opacity).convert("L")


def _open(path: str | Path, change: Callable[[ImageFile], ImageFile]) -> Image.Image:
    path = check_input(path, "image")
    name = f"image {path}"
    with image_errors(path), warnings.catch_warnings(), path.open("rb") as file:
        # Pillow warns about what is weighed here.
        warnings.simplefilter("ignore")
        return finished_image(change(read_image(file, name)), name)


def _opacity(read: ImageFile) -> ImageFile:
    """Return the opacity of an image in its place, or the image if it is opaque everywhere."""
    image = read.image
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    alpha = image.convert("RGBA").getchannel("A") if has_alpha else Image.new("L", image.size, 255)
    if read.canvas_px is not None:
        canvas = Image.new("L", read.canvas_px)
        canvas.paste(alpha, read.place)
        alpha = canvas
    lowest, _ = alpha.getextrema()
    if lowest == 255:
        return read
    return ImageFile(alpha, orientation=read.orientation)


def image_from_pixels(pixels: NDArray[np.uint8], name: str = "image") -> Image.Image:
    """Return pixels as an image, transparency laid over mid grey.

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
    check_shape(name, width, height)
    check_bytes(name, (width, height), 4 * width * height)
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else np.ascontiguousarray(pixels))
    return finished_image(ImageFile(image), name)


def check_fit(mode: str) -> None:
    """Raise :class:`InvalidInputError` unless ``mode`` is a way to fit an image."""
    require(
        mode in get_args(FitMode),
        f"image fit {mode!r}: use 'cover', 'pad' or 'face'",
        subject="fit",
    )


def fit_image(image: Image.Image, size_px: tuple[int, int], mode: FitMode = "cover") -> Tensor:
    """Scale an image to the size of the video, bilinear and antialiased.

    Args:
        image: RGB image.
        size_px: Height and width.
        mode: ``cover`` fills the frame and crops about the centre; ``pad`` keeps the whole
            image, on mid grey. ``face`` is ``cover`` of what :func:`.faces.framing.pick_face`
            framed.

    Returns:
        ``(3, H, W)`` uint8.

    Source: ``cover`` is SoulX-FlashTalk ``resize_and_centercrop`` @ 688982e, to the bit.
    """
    check_fit(mode)
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


def _padded(image: Image.Image, scale: float, size_px: tuple[int, int]) -> Image.Image:
    height, width = size_px
    inner_height = min(height, max(1, round(scale * image.height)))
    inner_width = min(width, max(1, round(scale * image.width)))
    resized = image.resize((inner_width, inner_height), resample=Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (width, height), BACKDROP)
    canvas.paste(resized, ((width - inner_width) // 2, (height - inner_height) // 2))
    return canvas


def _to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
