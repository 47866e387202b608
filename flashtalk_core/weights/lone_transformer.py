"""A transformer without the rest of its model, for what needs no more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import WeightsError, about
from ..excerpt import shown_path
from ..files.paths import is_file, is_folder, user_path
from ..models.attention import sdpa
from ..models.transformer.model import AvatarDiT
from .discovery.json_file import read_json
from .discovery.layout import find_model_files, resolve_model
from .discovery.parts import SETTINGS_FILE
from .discovery.shards import with_all_shards
from .formats.tensor_file import open_tensor_file
from .load import open_checkpoint, plan_transformer
from .lora.merge import LoraFile
from .mapping.kinds import check_sources_kind
from .mapping.model_config import avatar_config
from .mapping.published_names import with_published_names
from .model_sources import ModelSources, Settings
from .plan import LoadPlan


def open_transformer(
    model: Sequence[str | Path], loras: Sequence[LoraFile] = ()
) -> tuple[LoadPlan[AvatarDiT], tuple[Path, ...]]:
    """Find and check a model's transformer; no weights are read.

    Args:
        model: ``"tiny"`` or the folder of a whole model; or the files of a transformer: one, one
            of its shards or their index, or a transformer and its audio layers. Sizes that shapes
            do not tell come from ``config.json`` and ``flashtalk.json`` beside the first file, if
            they are there.
        loras: What is merged into it.

    Returns:
        The plan of the transformer, and all files of weights that were found.

    Raises:
        WeightsError: If a file is missing, damaged, or holds no whole transformer.
    """
    if len(model) == 1 and not is_file(Path(model[0])):
        _check_there(model[0])
        files = find_model_files(resolve_model(model[0]))
        return open_checkpoint(files, loras=loras).dit_plan, files.paths
    with about("dit"):
        paths = tuple(path for name in model for path in _files_at(name))
        opened = tuple(map(open_tensor_file, paths))
        check_sources_kind("dit", opened)
        sources = ModelSources(
            dit=with_published_names("dit", opened),
            vae=(),
            text=(),
            clip=(),
            audio=(),
            settings=_settings(paths[0].parent / SETTINGS_FILE),
            dit_config=_settings(paths[0].parent / "config.json"),
        )
    config = avatar_config(sources)
    return plan_transformer(sources.dit, config, sdpa, loras), paths


def lacks_settings(plan: LoadPlan[AvatarDiT], folder: Path) -> bool:
    """Whether a plan's transformer, as one file in ``folder``, could not be read as it is.

    The number of heads is in no shape: without settings beside the file, 128 numbers a head.
    """
    sources = ModelSources(
        dit=tuple(source for source, _mappings in plan.sources),
        vae=(),
        text=(),
        clip=(),
        audio=(),
        settings=_settings(folder / SETTINGS_FILE),
        dit_config=_settings(folder / "config.json"),
    )
    with torch.device("meta"):
        wanted = plan.build().config.num_heads
    try:
        return avatar_config(sources).dit.num_heads != wanted
    except WeightsError:
        return True


def _check_there(name: str | Path) -> None:
    if str(name) != "tiny" and str(name).strip() and not is_folder(user_path(name, "model")):
        raise WeightsError(
            f"model '{shown_path(name)}': no such file or folder; use 'tiny', a weights folder or "
            "the file of a transformer"
        )


def _files_at(name: str | Path) -> tuple[Path, ...]:
    path = user_path(name, "transformer")
    if not is_file(path):
        raise WeightsError(
            f"transformer {shown_path(path)}: no such file; name files of one transformer, or the "
            "folder of a whole model alone"
        )
    return with_all_shards(path)


def _settings(path: Path) -> Settings:
    return Settings(str(path), read_json(path))
