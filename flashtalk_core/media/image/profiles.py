"""Colour profiles: numbers to sRGB, as browsers show them."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

from PIL import Image

from ...log import printable_log
from .border import reason_of

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsProfile

_log = printable_log(logging.getLogger(__name__))

_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}
_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")
_HEADER_BYTES = 132


class ProfileConversion:
    """A profile, ready to be applied to bands of an image.

    Source: what Chromium 150s does, measured: a grey profile counts for grey images only and
    not with Lab inside, an RGB profile for grey ones too, a CMYK profile for CMYK ones; tables
    are taken before curves, perceptual ones first, without black point compensation.
    """

    def __init__(self, profile: bytes, mode: str) -> None:
        """Build the conversion.

        Args:
            profile: ICC profile.
            mode: ``L``, ``RGB`` or ``CMYK``, the mode of what is converted.

        Raises:
            ValueError: If the profile is not meant for such an image.
            Exception: Whatever Pillow raises for a damaged one, ``ImportError`` without littlecms.
        """
        from PIL import ImageCms

        space = profile[16:20]
        if profile[36:40] != b"acsp" or len(profile) < _HEADER_BYTES:
            raise ValueError("it is damaged")
        if profile[12:16] not in _CLASSES:
            raise ValueError("it is of another kind")
        self.mode = "RGB" if mode == "L" and space == b"RGB " else mode
        if _SPACES[self.mode] != space or (mode == "L" and profile[20:24] == b"Lab "):
            raise ValueError(f"it is not meant for {mode} images")
        intent = ImageCms.Intent.PERCEPTUAL
        if _has_tag(profile, b"A2B1") and not _has_tag(profile, b"A2B0"):
            intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        self._transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            _srgb_of_version_2(),
            self.mode,
            "RGB",
            renderingIntent=intent,
        )

    def apply(self, band: Image.Image) -> Image.Image:
        """Return a band of the mode the conversion was built for, in sRGB."""
        from PIL import ImageCms

        if band.mode != self.mode:
            band = band.convert(self.mode)
        converted = ImageCms.applyTransform(band, self._transform)
        assert converted is not None
        return converted


def conversion_of(profile: bytes | None, mode: str, name: str) -> ProfileConversion | None:
    """Return how a profile is applied; warn if it cannot be, once for an image.

    Args:
        profile: ICC profile, ``None`` if there is none.
        mode: ``L``, ``RGB`` or ``CMYK``.
        name: What messages call the image.
    """
    if profile is None:
        return None
    try:
        return ProfileConversion(profile, mode)
    except ImportError:
        _log.warning(
            "%s: its colour profile is not applied, since this Pillow has no littlecms; colours "
            "may differ from what a browser shows",
            name,
        )
    except Exception as error:
        _log.warning(
            "%s: its colour profile is not applied (%s); its colours are taken for sRGB",
            name,
            reason_of(error),
        )
    return None


def _srgb_of_version_2() -> ImageCmsProfile:
    """Return sRGB as a profile of version 2; with 4, littlecms compensates black points unasked."""
    from PIL import ImageCms

    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    data[8:10] = b"\2\x10"
    return ImageCms.ImageCmsProfile(io.BytesIO(bytes(data)))


def _has_tag(profile: bytes, tag: bytes) -> bool:
    count = int.from_bytes(profile[128:132], "big")
    table = profile[132 : 132 + 12 * min(count, 200)]
    return any(table[at : at + 4] == tag for at in range(0, len(table), 12))
