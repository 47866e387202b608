"""Memory of reading images: bounded for all that are accepted."""

import io
import struct
import subprocess
import sys

import pytest
from PIL import Image

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.image.portrait import open_image

from .image_files import (
    chunk,
    encoded,
    flat_png,
    gama,
    header,
    iccp,
    p3_profile,
    png_of,
    segment,
    with_segments,
)

BOUND_MIB = 700
"""What is promised."""
SIDE = 11_000
"""Close to what is accepted, of 1 to 4 bytes a pixel."""
CLEAR = (b"tRNS", b"\0\xff")
LYING = (b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6" + bytes(6))

READ = """
import sys
from pathlib import Path
from PIL import ImageCms
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.image.portrait import open_image
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) >> 10
before = peak()
picture = open_image(sys.argv[1])
print(peak() - before, picture.width * picture.height)
"""


def large(side, kind, mode="RGB", **options):
    return encoded(Image.new(mode, (side, side), (90,) * len(mode)), kind, **options)


def tiff(side, **tags):
    image = Image.new("F", (side, side))
    return encoded(image, "TIFF", compression="tiff_lzw", tiffinfo={278: side, **tags})


ACCEPTED = {
    "16-bit colours": lambda: flat_png(SIDE, SIDE, 16, 6),
    "colours lying": lambda: flat_png(SIDE, SIDE, 8, 6, LYING),
    "two colours": lambda: flat_png(SIDE, SIDE, 1, 3, (b"PLTE", bytes(6)), CLEAR),
    "deep grey": lambda: flat_png(SIDE, SIDE, 16, 0, (b"tRNS", b"\0\0")),
    "tagged": lambda: flat_png(6000, 6000, 8, 2, gama(100_000)),
    "profile": lambda: flat_png(6000, 6000, 8, 6, iccp(p3_profile())),
    "floats": lambda: tiff(5000),
    "WebP": lambda: large(5500, "WEBP", "RGBA", method=0),
    "GIF": lambda: large(SIDE, "GIF", "L"),
    "photo": lambda: encoded(Image.new("RGB", (12_000, 9000)), "JPEG"),
    "progressive": lambda: encoded(Image.new("RGB", (12_000, 9000)), "JPEG", progressive=True),
    "inks": lambda: encoded(Image.new("CMYK", (12_000, 9000)), "JPEG"),
    "200 million": lambda: encoded(Image.new("L", (16_000, 12_500)), "JPEG"),
}


QUICK = ["two colours", "WebP", "progressive"]
"""One of each kind, that takes seconds; the others belong to the manual tier."""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.cpu if kind in QUICK else pytest.mark.manual)
        for kind in ACCEPTED
    ],
)
def test_an_accepted_image_takes_a_bounded_amount(tmp_path, kind):
    path = tmp_path / "picture"
    path.write_bytes(ACCEPTED[kind]())
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True
    )
    grown_mib, pixels = map(int, done.stdout.split())
    assert grown_mib < BOUND_MIB
    assert pixels <= 30_000_000


def chunked(width, height, bits, colour):
    """A PNG that has nothing but a header; it must be refused by that."""
    return png_of(header(width, height, bits, colour), (b"IDAT", b""))


def bitmap(width, height):
    fields = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<III", 54, 0, 54) + fields


def icon(width, height):
    """An icon of 16 pixels, as its list says, that is a large PNG."""
    inside = chunked(width, height, 8, 6)
    listed = struct.pack("<3H4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inside), 22)
    return listed + inside


def progressive(width, height):
    """A JPEG in scans, whose size is changed afterwards."""
    data = bytearray(encoded(Image.new("CMYK", (16, 16)), "JPEG", progressive=True))
    at = data.index(b"\xff\xc2") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def hidden_codestream():
    """A JPEG 2000 file whose codestream is larger than its header says."""
    data = bytearray(encoded(Image.new("RGB", (64, 64)), "JPEG2000"))
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data[at : at + 8] = struct.pack(">II", 30_000, 30_000)
    return bytes(data)


REFUSED = {
    "PNG": lambda: chunked(12_200, 12_200, 1, 3),
    "deep PNG": lambda: chunked(60_000, 60_000, 16, 6),
    "bitmap": lambda: bitmap(30_000, 30_000),
    "icon": lambda: icon(9000, 9000),
    "scans": lambda: progressive(14_000, 10_000),
    "JPEG": lambda: progressive(60_000, 60_000),
    "PPM": lambda: b"P6\n30000 30000\n255\n" + bytes(99),
    "TGA": lambda: bytes((0, 0, 2)) + bytes(9) + struct.pack("<HH", 50_000, 50_000) + b"\x20\0",
    "GIF": lambda: (
        b"GIF89a"
        + struct.pack("<HH", 60_000, 60_000)
        + bytes(3)
        + b","
        + struct.pack("<4H", 0, 0, 60_000, 60_000)
        + b"\0\2\2\x4c\1\0;"
    ),
    "JPEG 2000": hidden_codestream,
}


@pytest.mark.cpu
@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_an_image_that_would_take_more_is_refused_by_its_header(tmp_path, make):
    path = tmp_path / "picture"
    path.write_bytes(make())
    with pytest.raises(InvalidInputError, match="make it smaller"):
        open_image(path)


@pytest.mark.cpu
def test_a_file_of_many_bytes_is_refused(tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(encoded(Image.new("L", (32, 32)), "PNG"))
    with path.open("r+b") as file:
        file.truncate(600 * 2**20)
    with pytest.raises(InvalidInputError, match="600 MiB, the limit is 512"):
        open_image(path)


@pytest.mark.cpu
def test_notes_that_unpack_without_end_are_left_out(tmp_path):
    path = tmp_path / "picture"
    endless = iccp(bytes(40 * 2**20))
    data = encoded(Image.new("L", (32, 32)), "PNG")
    path.write_bytes(data[:33] + chunk(*endless) + data[33:])
    assert open_image(path).size == (32, 32)


@pytest.mark.cpu
def test_an_animation_is_not_walked_through(tmp_path):
    """A million frames are distinguished from one by reading two."""
    data = encoded(Image.new("P", (32, 32)), "GIF")
    frame = data[data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1)) : -1]
    path = tmp_path / "picture"
    path.write_bytes(data[:-1] + frame * 200_000 + b";")
    read = []
    original = open_image.__globals__["read_image"]

    class Counting(io.FileIO):
        def read(self, size=-1):
            read.append(size)
            return super().read(size)

        def readinto(self, buffer):
            read.append(len(buffer))
            return super().readinto(buffer)

    with Counting(path) as file:
        original(file, "picture")
    assert sum(size for size in read if size > 0) < 10_000_000
    assert len(read) < 1000


@pytest.mark.cpu
def test_many_segments_are_read_in_one_go(tmp_path):
    path = tmp_path / "picture"
    data = encoded(Image.new("L", (32, 32)), "JPEG")
    path.write_bytes(with_segments(data, *[segment(0xFE, b"note")] * 10_000))
    assert open_image(path).size == (32, 32)
