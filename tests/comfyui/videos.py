"""What is in a finished video, read without ComfyUI."""

import hashlib
import json
from pathlib import Path
from typing import Any

import av
import numpy as np

from flashtalk_core.media.video.reading.measure import VideoMeasure, measure_video


def measure(path: Path) -> VideoMeasure:
    return measure_video(path)


def frames_digest(path: Path) -> str:
    """Return a hash of all decoded frames."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(frame.to_ndarray(format="rgb24").tobytes())
    return digest.hexdigest()


def decoded(path: Path) -> np.ndarray:
    """Return all frames, ``(f, H, W, 3)`` uint8."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def embedded(path: Path) -> dict[str, Any]:
    """Return what was embedded as JSON, by name."""
    with av.open(str(path)) as container:
        texts = dict(container.metadata)
    return {name: json.loads(texts[name]) for name in ("prompt", "workflow") if name in texts}


def without_fingerprints(found: dict[str, Any]) -> dict[str, Any]:
    """Return ``found`` without what ComfyUI adds to a prompt when it runs."""
    prompt = {
        name: {key: value for key, value in node.items() if key != "is_changed"}
        for name, node in found["prompt"].items()
    }
    return found | {"prompt": prompt}
