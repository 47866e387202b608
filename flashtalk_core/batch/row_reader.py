"""Rows of a manifest by the options of ``render``: the same names, the same values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..clock import read_time, split_time
from ..errors import InvalidInputError, about
from ..excerpt import excerpt
from .row_options import (
    ROW_OPTIONS,
    RowOption,
    lines_of,
    option_name,
    read_number,
    whole_path,
)

if TYPE_CHECKING:
    from ..engine.request import PromptChange
    from ..engine.spec import PlacementSpec, RenderSpec

_NO_PATHS = frozenset(("tiny", "auto", "none"))
_YES = frozenset(("true", "yes", "on", "1"))
_NO = frozenset(("false", "no", "off", "0"))


class RowReader:
    """Makes a spec of what a row says; options of the batch hold for rows without their own."""

    def __init__(
        self,
        folder: Path,
        defaults: Mapping[str, Any] | None = None,
        *,
        has_device: bool = True,
    ) -> None:
        """Take what rows have in common.

        Args:
            folder: Of the manifest: names of models and LoRAs in it are below it.
            defaults: Values of options, as the command line reads them; others are ignored.
                ``None`` is none.
            has_device: Whether a row may choose its device; not where there are several.
        """
        self._folder = folder
        self.names = frozenset(ROW_OPTIONS) - (frozenset() if has_device else {"device"})
        """Options that a row may set."""
        given = {} if defaults is None else defaults
        own = {name: option.default for name, option in ROW_OPTIONS.items()}
        self._defaults = own | {name: given[name] for name in self.names & given.keys()}

    def read(self, values: Mapping[str, Any]) -> tuple[RenderSpec, int]:
        """Return the spec of a row and its H.264 quality.

        Args:
            values: Texts, as in CSV, or what JSON has: numbers, ``true``, lists for options that
                may be repeated. ``image`` and ``audio`` are paths.

        Raises:
            InvalidInputError: If a value is none of its option.
        """
        _check_one_a_line(values)
        found = dict(self._defaults)
        for name, value in values.items():
            if name in self.names:
                with about(name):
                    found[name] = self._value(name, value)
        return _spec(found, values, self._whole_path), found["crf"]

    def _value(self, name: str, value: Any) -> Any:
        option, shown = ROW_OPTIONS[name], option_name(name)
        if option.kind == "one":
            return self._one(option, shown, value)
        if option.kind == "switch":
            return _truth(shown, value)
        if option.kind == "lines":
            return [self._one(option, shown, each) for each in lines_of(value)]
        lines = value if isinstance(value, list) else str(value).splitlines()
        return [_second_and_prompt(shown, each) for each in lines]

    def _one(self, option: RowOption, shown: str, value: Any) -> Any:
        if isinstance(value, bool | dict | list):
            raise InvalidInputError(f"{shown} {excerpt(value)}: use a text or a number")
        text = str(value)
        try:
            found = option.read(text)
        except ValueError as error:
            several = "; one value a line" if option.kind == "lines" else ""
            raise InvalidInputError(f"{shown} {excerpt(text)!r}: {error}{several}") from error
        is_whole = not option.is_path or text in _NO_PATHS
        return found if is_whole else self._whole_path(text)

    def _whole_path(self, text: str) -> str:
        return whole_path(text, self._folder)


def _check_one_a_line(values: Mapping[str, Any]) -> None:
    """Raise :class:`InvalidInputError` where one line seems to hold the values of two speakers."""
    speakers, starts = (lines_of(values.get(name) or ()) for name in ("speaker", "speaker_start"))
    if len(speakers) == 1:
        raise InvalidInputError(
            f"--speaker {excerpt(speakers[0])!r}: a place is for two speakers; name both, one "
            "value a line",
            subject="speaker",
        )
    if len(speakers) > 1 and len(starts) == 1 and "," in str(starts[0]):
        raise InvalidInputError(
            f"--speaker-start {excerpt(starts[0])!r}: the start of one speaker, or two? write a "
            "decimal point, or one value a line",
            subject="speaker_start",
        )


def _truth(shown: str, value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in _YES | _NO:
        raise InvalidInputError(f"{shown} {excerpt(value)!r}: use 'true' or 'false'")
    return text in _YES


def _second_and_prompt(shown: str, value: Any) -> tuple[str, str]:
    """Read ``12.5: She smiles`` or ``1:05: She nods``, or a list of the two."""
    if isinstance(value, list):
        parts = [str(each) for each in value]
    else:
        # What begins with no time is split as well, so that the message is about its second.
        parts = [part.strip() for part in split_time(str(value)) or str(value).split(":", 1)]
    if len(parts) != 2 or not all(parts):
        raise InvalidInputError(
            f"{shown} {excerpt(value)!r}: write a second, a colon and a prompt, such as '12.5: "
            "She smiles', one a line"
        )
    return parts[0], parts[1]


def _spec(
    found: Mapping[str, Any], files: Mapping[str, Any], place: Callable[[str], str]
) -> RenderSpec:
    from ..engine.speakers.text import read_speakers
    from ..engine.spec import FramesSpec, LoraSpec, ModelSpec, RenderSpec, SamplingSpec

    return RenderSpec(
        portrait=files["image"],
        speakers=read_speakers(
            found["speaker"],
            files["audio"],
            found["speaker_start"],
            found["turns"] or "",
            place,
        ),
        speaker_routing=found["speaker_routing"],
        soundtrack=_path(found["soundtrack"]),
        start_s=found["start"],
        duration_s=found["duration"],
        prompt=found["prompt"],
        prompt_changes=tuple(_change(*each) for each in found["prompt_at"]),
        size_px=found["size"],
        fit=found["fit"],
        face_detector=found["face_detector"],
        sampling=SamplingSpec(**{each.name: found[each.name] for each in fields(SamplingSpec)}),
        model=ModelSpec(
            name=found["model"],
            audio_layers=found["audio_layers"],
            loras=tuple(map(LoraSpec.parse, found["lora"])),
            light_vae=found["vae"],
        ),
        motion_vae=found["vae_motion"],
        placement=_placement(found),
        frames=FramesSpec(upscale=_path(found["upscale"]), upscale_by=found["upscale_by"]),
    )


def _path(value: str | Path | None) -> str | None:
    return None if value is None else str(value)


def _placement(found: Mapping[str, Any]) -> PlacementSpec:
    from ..engine.spec import PlacementSpec
    from ..placement.memory_plan import MemoryChoice

    return PlacementSpec(
        device=found["device"],
        dtype=found["dtype"],
        attention=found["attention"],
        speed=found["speed"],
        disabled=tuple(name[3:] for name in ROW_OPTIONS if name.startswith("no_") and found[name]),
        memory=MemoryChoice.parse(found["memory"], float8=found["float8"]),
        decode_latents=found["decode_latents"],
        graph=found["graph"],
    )


def _change(second: str, prompt: str) -> PromptChange:
    from ..engine.request import PromptChange

    try:
        start_s = read_time(second) if ":" in second else read_number(second)
    except ValueError as error:
        raise InvalidInputError(
            f"--prompt-at {excerpt(second)!r}: no number of seconds; write 12.5: A prompt",
            subject="prompt_at",
        ) from error
    return PromptChange(start_s, prompt)
