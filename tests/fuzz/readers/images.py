"""Images of all formats that are read, and files of formats that must not be."""

import numpy as np
from PIL import Image

from flashtalk_core.media.image.limits import MAX_DECODED_BYTES
from flashtalk_core.media.image.portrait import open_image
from tests.unit.media.image.colour_cases import make_cases
from tests.unit.media.image.image_files import (
    apng,
    cmyk_profile,
    encoded,
    gif_in_part,
    noise,
    p3_profile,
    with_nclx,
)

from ..mutate import mutated
from ..reader import MIB, Reader

SPECIAL = [b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 4, b"\0" * 8, b"\x80\0\0\0", b"\xff\xd9"]
# What Pillow would start Ghostscript for.
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 40\n%%EndComments\nshowpage\n"


def _files(folder):
    """Return small files of all formats and kinds."""
    Image.init()
    image = noise(48, 40)
    clear = image.convert("RGBA")
    clear.putalpha(90)
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = p3_profile()
    grey = image.convert("L")
    files = list(make_cases().values())
    for kind in ("PNG", "JPEG", "MPO", "WEBP", "GIF", "TIFF", "BMP", "PPM", "PCX", "DDS", "TGA"):
        files.append(encoded(image, kind))
        files.append(encoded(grey, kind))
    for kind in ("PNG", "WEBP", "TIFF", "ICO", "TGA", "DDS"):
        files.append(encoded(clear, kind))
    for kind in ("AVIF", "JPEG2000"):
        if kind in Image.SAVE:
            files += [encoded(image, kind), encoded(clear, kind), encoded(grey, kind)]
    if "AVIF" in Image.SAVE:
        files += [with_nclx(image, 12, 16), encoded(image, "AVIF", icc_profile=profile, exif=exif)]
        files.append(encoded(image, "AVIF", save_all=True, append_images=[image]))
    files += [
        encoded(image, "JPEG", progressive=True, exif=exif, icc_profile=profile),
        encoded(image.convert("CMYK"), "JPEG", icc_profile=cmyk_profile()),
        encoded(image, "MPO", save_all=True, append_images=[image]),
        encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        encoded(image, "WEBP", save_all=True, append_images=[image.rotate(9)], exif=exif),
        encoded(image, "TIFF", compression="tiff_lzw", exif=exif, icc_profile=profile),
        encoded(image, "TIFF", compression="jpeg"),
        encoded(image, "TIFF", save_all=True, append_images=[image]),
        encoded(image.convert("CMYK"), "TIFF", compression="tiff_adobe_deflate"),
        encoded(image.convert("LAB"), "TIFF"),
        encoded(image.convert("1"), "TIFF", compression="group4"),
        encoded(Image.fromarray(np.ones((40, 48), np.float32)), "TIFF"),
        encoded(Image.fromarray(np.ones((40, 48), np.uint16)), "PNG"),
        encoded(image.quantize(16), "PNG", transparency=3),
        encoded(image.convert("P"), "BMP"),
        apng((48, 40), [(image, 0, 0), (image.crop((0, 0, 9, 9)), 3, 3)], default=image),
        gif_in_part(image.crop((0, 0, 20, 20)), (48, 40), (5, 5)),
        b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x28\0\0\0\x30\0\x08\0\3" + bytes(14)
        + np.asarray(image).transpose(2, 0, 1).tobytes(),
    ]  # fmt: skip
    return [*files, POSTSCRIPT]


def _changed(rng, seeds):
    """Change a file at its head in half of the cases: that decides most."""
    data = rng.choice(seeds)
    if rng.random() < 0.5:
        return mutated(rng, [data, *seeds])
    head = bytearray(data[:200])
    for _ in range(rng.randint(1, 4)):
        at, special = rng.randrange(len(head) + 1), rng.choice(SPECIAL)
        head[at : at + len(special)] = special
    return bytes(head) + data[200:]


def _opened(folder):
    path = folder / "picture"

    def read(data):
        path.write_bytes(data)
        assert open_image(path).mode == "RGB"

    return read


READERS = (
    Reader("images", _files, _opened, _changed, 12_000, memory_bytes=MAX_DECODED_BYTES + 512 * MIB),
)
