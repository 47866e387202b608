"""Images whose numbers mean something else than sRGB, and what Chromium 156 showed of them.

The images are the patches of ``image_files``; what was shown are their colours in turn.
"""

from .image_files import (
    LINEAR_CURVE,
    chrm,
    cicp,
    cmyk_profile,
    encoded,
    gama,
    grey_profile,
    iccp,
    p3_profile,
    patches,
    with_chunks,
    with_nclx,
)

SRGB_CHUNK = (b"sRGB", b"\0")


def _with_alpha(level):
    image = patches().convert("RGBA")
    image.putalpha(level)
    return image


def make_cases():
    """Return name to file."""
    image, grey, p3 = patches(), patches().convert("L"), p3_profile()
    return {
        "gama10.png": with_chunks(image, gama(100_000)),
        "gama18.png": with_chunks(image, gama(55_556)),
        "gama22.png": with_chunks(image, gama(45_455)),
        "gama22_p3.png": with_chunks(image, gama(45_455), chrm()),
        "chrm_alone.png": with_chunks(image, chrm()),
        "srgb_wins.png": with_chunks(image, SRGB_CHUNK, gama(100_000), chrm()),
        "gama_zero.png": with_chunks(image, gama(0)),
        "cicp_p3.png": with_chunks(image, cicp(12, 13)),
        "cicp_2020.png": with_chunks(image, cicp(9, 13)),
        "cicp_709.png": with_chunks(image, cicp(1, 1)),
        "cicp_linear.png": with_chunks(image, cicp(1, 8)),
        "cicp_pq.png": with_chunks(image, cicp(9, 16)),
        "cicp_hlg.png": with_chunks(image, cicp(9, 18)),
        "cicp_narrow.png": with_chunks(image, cicp(12, 13, is_full=0)),
        "cicp_over_iccp.png": with_chunks(image, cicp(1, 8), iccp(p3)),
        "iccp.png": with_chunks(image, iccp(p3)),
        "iccp_over_srgb.png": with_chunks(image, iccp(p3), SRGB_CHUNK, gama(100_000)),
        "iccp_broken.png": with_chunks(image, (b"iCCP", b"name\0\0no zlib"), gama(100_000)),
        "iccp_large.png": with_chunks(image, iccp(p3 + bytes(range(256)) * 20_000)),
        "iccp_of_cmyk.png": with_chunks(image, iccp(cmyk_profile()), gama(100_000)),
        "palette.png": with_chunks(image.quantize(16), gama(100_000)),
        "palette_iccp.png": with_chunks(image.quantize(16), iccp(p3)),
        "grey.png": with_chunks(grey, gama(100_000)),
        "grey_iccp.png": with_chunks(grey, iccp(grey_profile())),
        "grey_rgb.png": with_chunks(grey, iccp(p3)),
        "grey_lab.png": with_chunks(grey, iccp(grey_profile(b"Lab ", LINEAR_CURVE))),
        "rgb_grey.png": with_chunks(image, iccp(grey_profile())),
        "half_clear.png": with_chunks(_with_alpha(128), iccp(p3)),
        "p3.jpg": encoded(image, "JPEG", quality=100, subsampling=0, icc_profile=p3),
        "grey.jpg": encoded(grey, "JPEG", quality=100, icc_profile=grey_profile()),
        "p3.webp": encoded(image, "WEBP", lossless=True, icc_profile=p3),
    }


def make_avif_cases():
    """Return name to file, for a Pillow that writes AVIF."""
    image, p3 = patches(), p3_profile()
    lossless = {"quality": 100, "subsampling": "4:4:4"}
    return {
        "icc.avif": encoded(image, "AVIF", icc_profile=p3, **lossless),
        "nclx_p3.avif": with_nclx(image, 12, 13),
        "nclx_709.avif": with_nclx(image, 1, 1),
        "nclx_linear.avif": with_nclx(image, 1, 8),
        "nclx_hlg.avif": with_nclx(image, 9, 18),
    }


SHOWN = {
    "gama10.png": "636363 bcbcbc e1e1e1 f3d5c2 e5a87a 85caa0 d88085 6e6060",
    "gama18.png": "2b2b2b 929292 cbcbcb e9b89c d27741 4da76d bd474d 352828",
    "gama22.png": "202020 808080 c0c0c0 e4aa8a c86432 3c965a af373c 281e1e",
    "gama22_p3.png": "1a1a1a 818181 c1c1c1 efa986 d85d18 009a53 c02434 251718",
    "chrm_alone.png": "202020 808080 c0c0c0 e4aa8a c86432 3c965a af373c 281e1e",
    "srgb_wins.png": "202020 808080 c0c0c0 e4aa8a c86432 3c965a af373c 281e1e",
    "gama_zero.png": "202020 808080 c0c0c0 e4aa8a c86432 3c965a af373c 281e1e",
    "cicp_p3.png": "202020 808080 c0c0c0 efa784 d75d1f 009853 be2937 2a1e1e",
    "cicp_2020.png": "202020 808080 c0c0c0 ffa184 f14c1d 009d51 d80038 2d1d1e",
    "cicp_709.png": "141414 797979 bdbdbd e2a584 c55b27 319051 ab2c31 1c1212",
    "cicp_linear.png": "636363 bcbcbc e1e1e1 f3d5c2 e5a87a 85caa0 d88085 6e6060",
    "cicp_pq.png": "050505 848484 ffffff ff201b ff0000 00cc00 ff0000 0c0304",
    "cicp_hlg.png": "0e0e0e 636363 bdbdbd ff735e e63011 007d40 b10029 180c0d",
    "cicp_narrow.png": "202020 808080 c0c0c0 e4aa8a c86432 3c965a af373c 281e1e",
    "cicp_over_iccp.png": "636363 bcbcbc e1e1e1 f3d5c2 e5a87a 85caa0 d88085 6e6060",
    "iccp.png": "202020 808080 c0c0c0 efa784 d75d1f 009853 be2937 2a1e1e",
    "iccp_over_srgb.png": "202020 808080 c0c0c0 efa784 d75d1f 009853 be2937 2a1e1e",
    "iccp_broken.png": "636363 bcbcbc e1e1e1 f3d5c2 e5a87a 85caa0 d88085 6e6060",
    "iccp_large.png": "202020 808080 c0c0c0 efa784 d75d1f 009853 be2937 2a1e1e",
    "iccp_of_cmyk.png": "202020 808080 c0c0c0 e4aa8a c86432 3c965a af373c 281e1e",
    "palette.png": "636363 bcbcbc e1e1e1 f3d5c2 e5a87a 85caa0 d88085 6e6060",
    "palette_iccp.png": "202020 808080 c0c0c0 efa784 d75d1f 009853 be2937 2a1e1e",
    "grey.png": "636363 bcbcbc e1e1e1 dddddd b9b9b9 b4b4b4 a1a1a1 656565",
    "grey_iccp.png": "636363 bcbcbc e1e1e1 dddddd b9b9b9 b4b4b4 a1a1a1 656565",
    "grey_rgb.png": "202020 808080 c0c0c0 b8b8b8 7c7c7c 747474 5b5b5b 212121",
    "grey_lab.png": "202020 808080 c0c0c0 b8b8b8 7c7c7c 747474 5b5b5b 212121",
    "rgb_grey.png": "202020 808080 c0c0c0 e4aa8a c86432 3c965a af373c 281e1e",
    "half_clear.png": "505050 808080 a0a0a0 b89482 ac6e50 408d6a a0545c 554f4f",
    "p3.jpg": "202020 808080 c0c0c0 f0a784 d75d1f 009852 be2736 2a1e1d",
    "grey.jpg": "636363 bcbcbc e1e1e1 dddddd b9b9b9 b4b4b4 a1a1a1 656565",
    "p3.webp": "202020 808080 c0c0c0 efa784 d75d1f 009853 be2937 2a1e1e",
    "icc.avif": "202020 808080 c0c0c0 eea884 d75d1f 009953 be2a37 2a1e1d",
    "nclx_p3.avif": "202020 808080 c0c0c0 eea884 d75d1f 009953 be2a37 2a1e1d",
    "nclx_709.avif": "202020 808080 c0c0c0 e4ab8a c86432 3a975a af383c 281e1d",
    "nclx_linear.avif": "636363 bcbcbc e1e1e1 f3d6c2 e5a87a 83caa0 d88185 6e605f",
    "nclx_hlg.avif": "0e0e0e 636363 bdbdbd ff755e e63011 007e40 b10029 180c0c",
}
