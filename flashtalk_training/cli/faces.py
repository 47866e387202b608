"""``faces``: held-out drawn faces of a style, talking, as one image."""

from __future__ import annotations

import argparse
from pathlib import Path

from .evaluate import STYLES, check_report, parse_count


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "draw held-out faces of a style, talking, as one image"
    parser = subparsers.add_parser("faces", help=text, description=text)
    parser.add_argument("--style", choices=STYLES, default=STYLES[0], help="default: %(default)s")
    parser.add_argument("--faces", type=parse_count, default=6, help="number of faces, a row each")
    parser.add_argument("--size", type=parse_count, default=128, help="side of a face in pixels")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("faces.png"), help="PNG or WebP file"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw and write."""
    from ..drawn_faces.styles import STYLES as DRAWN
    from ..evaluation.batched_sessions import HeldOutFaces
    from ..evaluation.contact_sheet import drawn_sheet, save_image

    check_report(args.output)
    held_out = HeldOutFaces(args.faces, style=DRAWN[args.style])
    save_image(drawn_sheet(held_out, (args.size, args.size)), args.output)
    return 0
