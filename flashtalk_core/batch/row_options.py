"""Options of a render that a row may set: their names, what they are without a value, their words.

They are those of the command ``render``; what several devices do together is none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ..acceleration.kernel_options import GRAPH_MODES, SPEED_WORDS, KernelOptions
from ..config.avatar import FitMode, SpeakerRouting
from ..config.light_vae import MotionVAE
from ..config.sampling import ColourArea, StepRule
from ..excerpt import excerpt
from ..placement.devices import DTYPES

_MOST_DIGITS = 9
_WHOLE_END = re.compile(r"[.,]0+$")

Kind = Literal["one", "switch", "lines", "changes"]
"""One value, yes or no, several values, or prompts with the second each begins at."""


@dataclass(frozen=True, kw_only=True)
class RowOption:
    """An option of one name."""

    kind: Kind = "one"
    default: Any = None
    """Its value in rows without one; ``None`` is the model's own, where it has one."""
    read: Callable[[str], Any] = str
    """Reads a text; raises :class:`ValueError`, which says what to use instead."""
    is_path: bool = False
    """Whether it names a file or a folder, below that of the manifest."""


def read_whole(text: str) -> int:
    """Read a whole number; spreadsheets write ``8`` as ``8.0`` or ``8,0``, too."""
    try:
        return int(_WHOLE_END.sub("", text))
    except ValueError:
        raise ValueError("use a whole number") from None


def read_number(text: str) -> float:
    """Read a number, with a point or, as in many countries, a comma."""
    try:
        return float(text.replace(",", ".") if text.count(",") == 1 else text)
    except ValueError:
        raise ValueError("use a number") from None


def read_size(text: str) -> tuple[int, int]:
    """Read height and width, ``768x448``."""
    height, _, width = text.lower().partition("x")
    if not all(side.isdecimal() and len(side) <= _MOST_DIGITS for side in (height, width)):
        raise ValueError("write height x width in pixels, such as 768x448")
    return int(height), int(width)


def one_of(*words: str) -> Callable[[str], str]:
    """Return what reads one of several words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"use one of {', '.join(words)}")
        return text

    return read


_WHOLE, _NUMBER = RowOption(read=read_whole), RowOption(read=read_number)
_SWITCH = RowOption(kind="switch", default=False)

ROW_OPTIONS: Mapping[str, RowOption] = {
    "model": RowOption(default="tiny", is_path=True),
    "size": RowOption(read=read_size),
    "fit": RowOption(default="cover", read=one_of(*get_args(FitMode))),
    "face_detector": RowOption(is_path=True),
    "prompt": RowOption(),
    "prompt_at": RowOption(kind="changes", default=()),
    "steps": _WHOLE,
    "rule": RowOption(read=one_of(*get_args(StepRule))),
    "shift": _NUMBER,
    "seed": _WHOLE,
    "colour_strength": _NUMBER,
    "colour_area": RowOption(read=one_of(*get_args(ColourArea))),
    "join_frames": _WHOLE,
    "mouth_strength": _NUMBER,
    "soundtrack": RowOption(is_path=True),
    "upscale": RowOption(is_path=True),
    "upscale_by": _NUMBER,
    "start": RowOption(default=0.0, read=read_number),
    "duration": _NUMBER,
    "speaker": RowOption(kind="lines", default=()),
    "speaker_start": RowOption(kind="lines", default=(), read=read_number),
    "turns": RowOption(),
    "speaker_routing": RowOption(read=one_of(*get_args(SpeakerRouting))),
    "crf": RowOption(default=18, read=read_whole),
    "device": RowOption(default="auto"),
    "dtype": RowOption(default="auto", read=one_of("auto", *DTYPES)),
    "attention": RowOption(default="auto"),
    "speed": RowOption(default="auto", read=one_of(*SPEED_WORDS)),
    "float8": _SWITCH,
    **{f"no_{each.name}": _SWITCH for each in fields(KernelOptions) if each.default},
    "graph": RowOption(default="auto", read=one_of(*GRAPH_MODES)),
    "decode_latents": _WHOLE,
    "memory": RowOption(default="auto"),
    "audio_layers": RowOption(default="auto", is_path=True),
    "lora": RowOption(kind="lines", default=(), is_path=True),
    "vae": RowOption(default="none", is_path=True),
    "vae_motion": RowOption(default="full", read=one_of(*get_args(MotionVAE))),
}
"""By name, with ``_`` between words."""


def lines_of(value: Any) -> list[Any]:
    """Return the values of an option that may be repeated: a list, or the lines of a cell."""
    lines = value if isinstance(value, list | tuple) else str(value).splitlines()
    return [each for each in lines if str(each).strip()]


def whole_path(text: str, folder: Path) -> str:
    """Return the path of what a row names: below the folder of the manifest."""
    return text if text.startswith("~") else str(folder / text)


def option_name(name: str) -> str:
    """Return an option as a command line has it, for messages."""
    return f"--{excerpt(name).replace('_', '-')}"
