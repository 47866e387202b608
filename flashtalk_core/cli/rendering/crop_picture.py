"""The picture of how a portrait was cropped to its face."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...media.image.faces.framing import FacePick

logger = logging.getLogger(__name__)


def save_face_picture(pick: FacePick, video: Path, sources: Iterable[Path]) -> Path:
    """Write a picture of the faces that were found and of the frame, next to the video.

    Args:
        pick: What was chosen.
        video: Where the video goes: that of ``talk.mp4`` is ``talk.face.jpg``.
        sources: Files that the render is made from.

    Raises:
        InvalidInputError: If it would replace one of the sources.
        OutputError: If it cannot be written.
    """
    from ...files.output_path import OutputPath, check_spared, unwritable
    from ...files.whole_file import replacing

    path = video.with_suffix(".face.jpg")
    check_spared(OutputPath(video), sources, [path])
    try:
        with replacing(path) as aside:
            pick.picture().save(aside, "JPEG", quality=90)
    except OSError as error:
        raise unwritable(path, error) from error
    logger.info("face crop: %s shows what was chosen", path)
    return path
