"""Rows of the Batch node, of a manifest or of lists, as the core takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...flashtalk_core.batch.manifest import ManifestRow, read_manifest
from ...flashtalk_core.batch.planning import RowFolders, plan_rows
from ...flashtalk_core.batch.row_reader import RowReader
from ...flashtalk_core.batch.rows import BatchRow, FaultyRow
from ...flashtalk_core.engine.resolve import Inputs
from ...flashtalk_core.engine.spec import RenderSpec, SamplingSpec
from ...flashtalk_core.errors import FlashTalkError, OutputError, about, require
from ..host.media import audio_array_of, pil_image_of
from ..host.output import folder_below, input_path, is_below, new_output
from .sizes import SIZES

if TYPE_CHECKING:
    from torch import Tensor

    from ...flashtalk_core.config.avatar import FitMode

_OF_THE_MODEL = frozenset(
    ("model", "audio_layers", "lora", "device", "dtype", "attention", "speed", "float8", "graph")
) | {"memory"}


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """What the inputs of the node say."""

    manifest: str
    images: tuple[Tensor, ...]
    """Each ``(1, H, W, C)``."""
    audios: tuple[Mapping[str, Any], ...]
    """Each a native AUDIO."""
    prompt: str | None
    seed: int
    steps: int | None
    size_px: tuple[int, int] | None
    """Height and width."""
    fit: FitMode
    folder: str
    crf: int

    @classmethod
    def read(cls, lists: Mapping[str, list[Any]], fits: Mapping[str, FitMode]) -> BatchSettings:
        """Return the settings in what ComfyUI hands over, a list for each input.

        Args:
            lists: By input; of a widget the first value counts.
            fits: What the entries of the menu ``fit`` mean.
        """
        one = {name: values[0] for name, values in lists.items() if values}
        images = [image for batch in lists.get("image") or () for image in batch.split(1)]
        return cls(
            manifest=one["manifest"].strip(),
            images=tuple(images),
            audios=tuple(each for each in lists.get("audio") or () if each is not None),
            prompt=one["prompt"].strip() or None,
            seed=one["seed"],
            steps=one["steps"] or None,
            size_px=SIZES[one["size"]],
            fit=fits[one["fit"]],
            folder=one["folder"].strip(),
            crf=one["quality"],
        )


@dataclass(frozen=True)
class BatchRows:
    """Rows, what belongs to them and is in no file, and what the user should know."""

    rows: list[BatchRow | FaultyRow]
    inputs: dict[str, Inputs]
    """Values in memory by number of row."""
    notes: list[str]


def rows_of_manifest(settings: BatchSettings) -> BatchRows:
    """Return the rows of a manifest; their videos go below the folder of the node.

    Raises:
        FlashTalkError: If it cannot be read, or the folder leads outside.
    """
    path, target = input_path(settings.manifest), folder_below(settings.folder)
    reader = RowReader(path.parent, _defaults(settings))
    rows = read_manifest(path, reader.names)
    planned = plan_rows(
        rows,
        reader.read,
        RowFolders(manifest=path.parent, output=target),
        {"seed": settings.seed},
    )
    return BatchRows([_below_output(row) for row in planned], {}, _ignored(rows))


def rows_of_lists(settings: BatchSettings) -> BatchRows:
    """Return a row for each pair of an image and a sound.

    Raises:
        InvalidInputError: If one of the two is missing, or there are several of each and not
            equally many.
    """
    images, audios = settings.images, settings.audios
    require(
        bool(images and audios),
        f"{len(images)} images and {len(audios)} sounds: connect both, or name a manifest",
        subject="manifest",
    )
    require(
        1 in (len(images), len(audios)) or len(images) == len(audios),
        f"{len(images)} images and {len(audios)} sounds: use as many of each, which become pairs, "
        "or a single one of either",
        subject="audio",
    )
    folder_below(settings.folder)
    found = BatchRows([], {}, [])
    for index in range(max(len(images), len(audios))):
        number = str(index + 1)
        image, audio = images[min(index, len(images) - 1)], audios[min(index, len(audios) - 1)]
        names = Path(f"image {number}"), Path(f"sound {number}")
        try:
            with about("portrait"):
                portrait = pil_image_of(image)
            with about("speakers"):
                speech = audio_array_of(audio)
            found.inputs[number] = Inputs(image=portrait, audio_inputs=(speech,))
            found.rows.append(_row_of_lists(settings, number, image, *names))
        except FlashTalkError as error:
            found.rows.append(FaultyRow(number, error, None, *names))
    return found


def _row_of_lists(
    settings: BatchSettings, number: str, pixels: Tensor, image: Path, audio: Path
) -> BatchRow:
    height, width = settings.size_px or pixels.shape[1:3]
    output = new_output(f"{settings.folder}/row-{number}", (height, width), ".mp4")
    spec = RenderSpec(
        prompt=settings.prompt,
        size_px=settings.size_px,
        fit=settings.fit,
        sampling=SamplingSpec(seed=settings.seed, steps=settings.steps),
    )
    return BatchRow(
        number=number, image=image, audio=audio, output=output.path, spec=spec, crf=settings.crf
    )


def _defaults(settings: BatchSettings) -> dict[str, Any]:
    """Return what the node says as options of a render."""
    return {
        "prompt": settings.prompt,
        "seed": settings.seed,
        "steps": settings.steps,
        "size": settings.size_px,
        "fit": settings.fit,
        "crf": settings.crf,
    }


def _below_output(row: BatchRow | FaultyRow) -> BatchRow | FaultyRow:
    """Refuse a row whose video would lie outside ComfyUI's output folder."""
    if isinstance(row, FaultyRow) or is_below(row.output):
        return row
    error = OutputError(
        f"output {row.output}: it leads outside ComfyUI's output folder; use a name, or folders "
        "below it"
    )
    return FaultyRow(row.number, error, None, row.image, row.audio)


def _ignored(rows: list[ManifestRow]) -> list[str]:
    """Return a note on columns that choose what the node's own model decides."""
    names = {name for row in rows for name in row.values}
    found = sorted(name for name in names if name in _OF_THE_MODEL or name.startswith("no_"))
    if not found:
        return []
    return [f"columns {', '.join(found)}: FlashTalk Model Loader chooses this, so they do nothing"]
