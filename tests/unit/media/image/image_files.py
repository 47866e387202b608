"""Image files as tests need them, byte by byte."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
END = (b"IEND", b"")
PATCHES = [
    (32, 32, 32),
    (128, 128, 128),
    (192, 192, 192),
    (228, 170, 138),
    (200, 100, 50),
    (60, 150, 90),
    (175, 55, 60),
    (40, 30, 30),
]
"""Colours that are not at the border of what sRGB holds."""
P3 = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
"""cHRM of Display P3."""


def writes_avif():
    """Whether this Pillow has an encoder for AVIF."""
    Image.init()
    return "AVIF" in Image.SAVE


def patches():
    """An image of :data:`PATCHES`, 16 pixels each, in a row."""
    pixels = np.repeat(np.repeat(np.array([PATCHES], np.uint8), 16, 1), 16, 0)
    return Image.fromarray(pixels)


def looks(image):
    """Return the colours in the middle of the patches."""
    return [image.getpixel((16 * index + 8, 8)) for index in range(len(PATCHES))]


def noise(width=96, height=64):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (height // 4, width // 4, 3), np.uint8)
    return Image.fromarray(small).resize((width, height))


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(*chunks):
    return PNG + b"".join(chunk(*parts) for parts in (*chunks, END))


def header(width, height, bits=8, colour=2):
    return b"IHDR", struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0)


def flat_png(width, height, bits=8, colour=2, *notes):
    """A PNG of zeros, made row by row."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(6)
    row = bytes(1 - (-width * bits * samples // 8))
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png_of(header(width, height, bits, colour), *notes, (b"IDAT", data))


def packed(image):
    pixels = np.asarray(image)
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))


def with_chunks(image, *chunks, **options):
    """Return a PNG file with more chunks behind its header."""
    data = encoded(image, "PNG", **options)
    return data[:33] + b"".join(chunk(*parts) for parts in chunks) + data[33:]


def gama(value):
    return b"gAMA", struct.pack(">I", value)


def chrm(values=P3):
    return b"cHRM", struct.pack(">8I", *values)


def cicp(primaries, transfer, matrix=0, is_full=1):
    return b"cICP", bytes((primaries, transfer, matrix, is_full))


def iccp(profile):
    return b"iCCP", b"name\0\0" + zlib.compress(profile)


def _fixed(value):
    return struct.pack(">i", round(value * 65536))


def profile_of(space, pcs, tags, kind=b"mntr", version=4):
    """Return an ICC profile."""
    start = 132 + 12 * len(tags)
    table, data = b"", b""
    for name, content in tags:
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content
    head = struct.pack(
        ">I4sB3x4s4s4s12x4s", start + len(data), b"", version, kind, space, pcs, b"acsp"
    )
    head = head.ljust(68, b"\0") + _fixed(0.9642) + _fixed(1) + _fixed(0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _xyz(*values):
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


SRGB_CURVE = b"para\0\0\0\0\0\3\0\0" + b"".join(
    map(_fixed, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)
LINEAR_CURVE = b"curv" + bytes(8)
_DISPLAY_P3 = [
    (b"rXYZ", _xyz(0.51512, 0.24120, -0.00105)),
    (b"gXYZ", _xyz(0.29198, 0.69225, 0.04189)),
    (b"bXYZ", _xyz(0.15710, 0.06657, 0.78407)),
]


def p3_profile():
    curves = [(name, SRGB_CURVE) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return profile_of(b"RGB ", b"XYZ ", [(b"wtpt", _xyz(0.9642, 1, 0.8249)), *_DISPLAY_P3, *curves])


def grey_profile(pcs=b"XYZ ", curve=LINEAR_CURVE):
    return profile_of(b"GRAY", pcs, [(b"wtpt", _xyz(0.9642, 1, 0.8249)), (b"kTRC", curve)])


def cmyk_profile():
    """A press whose inks are greys: Lab of 100, 0, 0 less 25 for each ink."""
    ramp = bytes(range(256))
    corners = b"".join(
        bytes((round(255 * (1 - 0.25 * bin(ink).count("1"))), 128, 128)) for ink in range(16)
    )
    matrix = b"".join(map(_fixed, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = b"mft1\0\0\0\0\4\3\2\0" + matrix + ramp * 4 + corners + ramp * 3
    return profile_of(b"CMYK", b"Lab ", [(b"A2B0", table)], b"prtr", version=2)


def with_nclx(image, primaries, transfer):
    """Return an AVIF file whose colour tags are changed."""
    data = bytearray(encoded(image, "AVIF", quality=100, subsampling="4:4:4"))
    at = data.index(b"nclx") + 4
    data[at : at + 4] = struct.pack(">HH", primaries, transfer)
    return bytes(data)


def apng(canvas, frames, default=None):
    """Return an animation; each frame is an image and its left and top."""
    parts = [header(*canvas), (b"acTL", struct.pack(">II", len(frames), 0))]
    if default is not None:
        parts.append((b"IDAT", packed(default)))
    number = 0
    for image, left, top in frames:
        parts.append((b"fcTL", struct.pack(">5I2H2B", number, *image.size, left, top, 1, 10, 0, 0)))
        number += 1
        if len(parts) == 3 and default is None:
            parts.append((b"IDAT", packed(image)))
        else:
            parts.append((b"fdAT", struct.pack(">I", number) + packed(image)))
            number += 1
    return png_of(*parts)


def gif_in_part(image, canvas, place):
    """Return a GIF whose only frame covers a part of its canvas."""
    data = bytearray(encoded(image.quantize(8), "GIF"))
    data[6:10] = struct.pack("<HH", *canvas)
    at = data.index(b"\x2c", 13)
    data[at + 1 : at + 5] = struct.pack("<HH", *place)
    return bytes(data)


def segment(marker, data):
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def with_segments(data, *segments):
    """Return a JPEG file with segments behind its beginning."""
    return data[:2] + b"".join(segments) + data[2:]


def icc_segment(profile, number=1, count=1):
    return segment(0xE2, b"ICC_PROFILE\0" + bytes((number, count)) + profile)
