"""Damaged images by the thousand: each is opened or refused in one line.

``python -m pytest -m manual tests/fuzz -s``; FUZZ_CASES in the environment sets how many, FUZZ_SEED
which. What is not told in one line is left in FUZZ_KEEP, if that is a folder.
"""

import logging
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flashtalk_core.errors import InvalidInputError
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

pytestmark = pytest.mark.manual

NUM_CASES = int(os.environ.get("FUZZ_CASES", "20000"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
SPECIAL = [b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 4, b"\0" * 8, b"\x80\0\0\0", b"\xff\xd9"]


def seeds():
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
    return files


def flip(data, at, size, other, rng):
    data[at] ^= 1 << int(rng.integers(0, 8))


def write_special(data, at, size, other, rng):
    special = SPECIAL[int(rng.integers(0, len(SPECIAL)))]
    data[at : at + len(special)] = special


def leave_out(data, at, size, other, rng):
    del data[at : at + size]


def put_in(data, at, size, other, rng):
    data[at:at] = rng.integers(0, 256, size, np.uint8).tobytes()


def cut(data, at, size, other, rng):
    del data[max(4, len(data) // 2 + at // 2) :]


def repeat(data, at, size, other, rng):
    start = int(rng.integers(0, len(data)))
    data[at:at] = data[start : start + size]


def take_over(data, at, size, other, rng):
    start = int(rng.integers(0, len(other)))
    data[at : at + size] = other[start : start + size]


CHANGES = [flip, flip, write_special, leave_out, put_in, cut, repeat, take_over]


def damaged(data, other, rng):
    """Return a file with one to four changes."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        # Headers decide most, so half of the changes are made there.
        at = int(rng.integers(0, min(len(data), 200) if rng.random() < 0.5 else len(data)))
        change = CHANGES[int(rng.integers(0, len(CHANGES)))]
        change(data, at, int(rng.integers(1, 40)), other, rng)
    return bytes(data)


def test_every_damaged_image_is_opened_or_refused_in_one_line(tmp_path, capsys):
    logging.getLogger("flashtalk_core").setLevel(logging.CRITICAL)
    rng = np.random.default_rng(SEED)
    files = seeds()
    path = tmp_path / "picture"
    ends, faults = Counter(), Counter()
    for number in range(NUM_CASES):
        data = damaged(files[number % len(files)], files[int(rng.integers(0, len(files)))], rng)
        path.write_bytes(data)
        try:
            assert open_image(path).mode == "RGB"
            ends["opened"] += 1
        except InvalidInputError as error:
            ends["refused"] += 1
            if not str(error).isprintable():
                faults["not one line"] += 1
        except Exception as error:
            faults[f"{type(error).__name__}: {error}"] += 1
            if "FUZZ_KEEP" in os.environ:
                (Path(os.environ["FUZZ_KEEP"]) / f"picture-{SEED}-{number}").write_bytes(data)
    with capsys.disabled():
        sys.stdout.write(f"\n{NUM_CASES} damaged pictures of {len(files)} files: {dict(ends)}\n")
    assert faults == {}
    assert min(ends["opened"], ends["refused"]) > NUM_CASES // 20
