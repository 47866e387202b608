"""A workflow in the API format, with the values of a row in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ..engine.spec import RenderSpec
from ..errors import InvalidInputError, require
from ..excerpt import excerpt, reason, shown_path
from ..files.input_path import check_input
from ..json_text import parse_json

REFERENCE, SPEECH = "FlashTalk_Reference", "FlashTalk_AudioEncode"
SAMPLER, PREVIEW = "FlashTalk_ChunkSampler", "FlashTalk_StreamPreview"
Workflow = dict[str, dict[str, Any]]
_Read = Callable[[RenderSpec, int], Any]


def _changes(spec: RenderSpec, _crf: int) -> str:
    return "\n".join(f"{each.start_s:g}: {each.prompt}" for each in spec.prompt_changes)


_VALUES: dict[str, tuple[str, str, _Read]] = {
    "prompt": (REFERENCE, "prompt", lambda spec, _: spec.prompt),
    "prompt_at": (REFERENCE, "prompt_changes", _changes),
    "fit": (REFERENCE, "fit", lambda spec, _: "crop" if spec.fit == "cover" else spec.fit),
    "start": (SPEECH, "start", lambda spec, _: spec.start_s),
    "duration": (SPEECH, "duration", lambda spec, _: spec.duration_s),
    "mouth_strength": (SPEECH, "mouth_strength", lambda spec, _: spec.sampling.mouth_strength),
    "seed": (SAMPLER, "seed", lambda spec, _: spec.sampling.seed),
    "steps": (SAMPLER, "steps", lambda spec, _: spec.sampling.steps),
    "rule": (SAMPLER, "rule", lambda spec, _: spec.sampling.rule),
    "shift": (SAMPLER, "shift", lambda spec, _: spec.sampling.shift),
    "colour_strength": (SAMPLER, "colour_strength", lambda spec, _: spec.sampling.colour_strength),
    "colour_area": (SAMPLER, "colour_area", lambda spec, _: spec.sampling.colour_area),
    "join_frames": (SAMPLER, "join_frames", lambda spec, _: spec.sampling.join_frames),
    "crf": (PREVIEW, "quality", lambda _, crf: crf),
}
"""Options of a row: the node that has them, its input, and the value."""
NAMES = frozenset((*_VALUES, "size"))
"""Options that a row may set; all else is in the workflow."""


def read_workflow(path: Path) -> Workflow:
    """Read a workflow.

    Raises:
        InvalidInputError: If it is not in the API format, or has no node that takes a portrait
            and speech.
    """
    shown = f"workflow {shown_path(path)}"
    try:
        found = parse_json(check_input(path, "workflow").read_bytes())
    except (ValueError, OSError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{shown}: no JSON ({reason(error)}); choose another") from error
    is_api = isinstance(found, dict) and all(
        isinstance(node, dict) and "class_type" in node and isinstance(node.get("inputs"), dict)
        for node in found.values()
    )
    require(
        is_api and bool(found),
        f"{shown}: not in the API format; export it with 'Export (API)', or take one of "
        "workflows/api",
    )
    for kind in (REFERENCE, SPEECH):
        require(
            bool(_nodes(found, kind)),
            f"{shown}: no {kind}, which takes the {'portrait' if kind == REFERENCE else 'speech'} "
            "of a row; use a workflow with it, such as workflows/api/1_first_talking_head.json",
        )
    return dict(found)


def fill(
    workflow: Workflow, spec: RenderSpec, crf: int, given: Collection[str], image: str, audio: str
) -> Workflow:
    """Return a workflow with the values of a row.

    Args:
        workflow: As :func:`read_workflow` returns it.
        spec: Of the row.
        crf: Of the row.
        given: Options that the row or the command line sets; others stay as they are.
        image: Name of the portrait in ComfyUI's input folder.
        audio: Name of the speech there.

    Raises:
        InvalidInputError: If the workflow has no node for an option.
    """
    filled = copy.deepcopy(workflow)
    portrait = _add(filled, "LoadImage", {"image": image})
    speech = _add(filled, "LoadAudio", {"audio": audio})
    for node in _nodes(filled, REFERENCE):
        node["inputs"]["image"] = [portrait, 0]
    for node in _nodes(filled, SPEECH):
        node["inputs"]["audio"] = [speech, 0]
    for name in sorted(NAMES & set(given)):
        if name == "size":
            _set_size(filled, spec)
        else:
            kind, key, read = _VALUES[name]
            _set(filled, name, kind, {key: read(spec, crf)})
    return filled


def _set_size(workflow: Workflow, spec: RenderSpec) -> None:
    assert spec.size_px is not None, "the row sets it"
    height, width = spec.size_px
    size = {"size": "custom", "size.width": width, "size.height": height}
    _set(workflow, "size", REFERENCE, size)


def _set(workflow: Workflow, name: str, kind: str, values: Mapping[str, Any]) -> None:
    nodes = _nodes(workflow, kind)
    require(
        bool(nodes),
        f"{excerpt(name)}: the workflow has no {kind}, which has this setting; leave it out",
    )
    for node in nodes:
        node["inputs"] |= values


def _nodes(workflow: Mapping[str, dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [node for node in workflow.values() if node["class_type"] == kind]


def _add(workflow: Workflow, kind: str, inputs: dict[str, Any]) -> str:
    """Add a node, and return its id, which no other node has."""
    numbers = [int(each) for each in workflow if each.isdecimal()]
    name = str(max(numbers, default=0) + 1)
    workflow[name] = {"class_type": kind, "inputs": inputs}
    return name
