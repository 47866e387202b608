"""``comfy-batch``: the rows of a manifest on a running ComfyUI."""

from __future__ import annotations

import argparse

from ...batch.row_reader import RowReader
from ..rendering.render_options import parse_path
from .stages import finish_batch, plan_manifest


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "render the rows of a manifest on a running ComfyUI, with a workflow of its own"
    parser = subparsers.add_parser("comfy-batch", help=text, description=text)
    parser.add_argument(
        "manifest", type=parse_path, help="rows as CSV with a header, or as JSON lines (.jsonl)"
    )
    parser.add_argument(
        "--workflow",
        type=parse_path,
        required=True,
        metavar="FILE",
        help="workflow in the API format, such as workflows/api/1_first_talking_head.json",
    )
    parser.add_argument(
        "--server", default="http://127.0.0.1:8188", metavar="ADDRESS", help="of ComfyUI"
    )
    parser.add_argument(
        "-o", "--output", help="name of a row's video, with {row}, {image}, {audio} or {seed} in it"
    )
    parser.add_argument("--output-folder", type=parse_path, metavar="DIR", help="of the videos")
    parser.add_argument("--results", type=parse_path, metavar="FILE", help="file of results")
    parser.add_argument("--dry-run", action="store_true", help="check every row; queue nothing")
    parser.add_argument("--again", action="store_true", help="render rows that are done, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check everything here, then queue row after row; 0 if every row is done, else 1."""
    from ...comfy_client.check import RowChecker
    from ...comfy_client.server import ComfyServer
    from ...comfy_client.worker import ComfyWorker
    from ...comfy_client.workflow import NAMES, read_workflow

    workflow = read_workflow(args.workflow)
    server = ComfyServer(args.server)
    reader = RowReader(args.manifest.absolute().parent)
    rows = plan_manifest(args, reader, NAMES, {"output": args.output})
    if not args.dry_run:
        server.check()
    look = RowChecker(workflow).look
    return finish_batch(args, rows, look, lambda: ComfyWorker(server, workflow))
