"""Which files are opened: those of known formats, whatever they are called."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.image.formats import FORMATS
from flashtalk_core.media.image.portrait import open_image

from .image_files import encoded, noise

pytestmark = pytest.mark.cpu

WRITTEN = ["PNG", "JPEG", "MPO", "WEBP", "GIF", "TIFF", "BMP", "ICO", "PPM", "PCX", "DDS", "TGA"]
STUBS = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n",
    "EPS of Windows": b"\xc5\xd0\xd3\xc6" + bytes(28) + b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "PDF": b"%PDF-1.4\n",
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + bytes(60),
    "EMF": b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(60),
    "FITS": b"SIMPLE  =                    T".ljust(2880),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(60),
    "GRIB": b"GRIB\0\0\0\1" + bytes(60),
    "BUFR": b"BUFR" + bytes(60),
    "XPM": b"/* XPM */\nstatic char *a[] = {\n",
    "XBM": b"#define a_width 40\n#define a_height 40\n",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "Photo CD": bytes(2048) + b"PCD_" + bytes(2048),
    "IM": b"Image type: RGB image\r\n",
    "page": b"<!DOCTYPE html><title>403</title>",
}
"""Beginnings of files of formats that Pillow knows as well, or knows how to hand on."""


@pytest.mark.parametrize("name", ["portrait.png", "portrait.eps", "portrait", "p.jpg", "p.fits"])
@pytest.mark.parametrize("content", STUBS.values(), ids=STUBS.keys())
def test_other_formats_are_refused_whatever_they_are_called(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"no image in a format that is read.*PNG or JPEG"):
        open_image(path)


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("suffix", [".eps", ".txt", ".png", ".mp4", ""])
def test_known_formats_are_opened_whatever_they_are_called(tmp_path, kind, suffix):
    path = tmp_path / f"portrait{suffix}"
    path.write_bytes(encoded(noise(64, 64), kind))
    assert open_image(path).size == (64, 64)


@pytest.mark.parametrize("kind", ["JPEG2000", "AVIF"])
def test_formats_that_not_every_pillow_has(tmp_path, kind):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    path = tmp_path / "portrait.png"
    path.write_bytes(encoded(noise(64, 64), kind))
    assert open_image(path).size == (64, 64)


def test_no_program_is_started_and_no_other_reader_is_imported(tmp_path):
    called = tmp_path / "called"
    program = tmp_path / "gs"
    program.write_text(f'#!/bin/sh\necho "$@" >> {called}\necho 10.0\n')
    program.chmod(0o755)
    for name, content in STUBS.items():
        (tmp_path / f"{name}.eps").write_bytes(content)
    (tmp_path / "good.eps").write_bytes(encoded(noise(), "WEBP"))
    script = """
import sys
from pathlib import Path
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.image.portrait import open_image
for path in Path(sys.argv[1]).glob("*.eps"):
    try:
        open_image(path)
    except InvalidInputError:
        pass
print(*sorted(name[4:] for name in sys.modules if name.startswith("PIL.") and "Plugin" in name))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert not called.exists()
    known = {found.module for found in FORMATS}
    assert "WebPImagePlugin" in done.stdout
    assert set(done.stdout.split()) <= known | {"WebPImagePlugin"}


def test_a_pillow_without_a_reader_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.AvifImagePlugin", None)
    path = tmp_path / "portrait.png"
    path.write_bytes(b"\0\0\0\x1cftypavif" + bytes(60))
    with pytest.raises(InvalidInputError, match="cannot read AVIF; use PNG or JPEG"):
        open_image(path)
