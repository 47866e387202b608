"""Where the files of the page to try a server are."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path

_PLAYER = ("js", "lib")
"""The player is that of ComfyUI's page: in the repository, or where an installation put it."""


@dataclass(frozen=True)
class PageFiles:
    """Folders that the server hands out."""

    page: Path
    """``index.html`` and its parts."""
    player: Path
    """Modules that play a stream."""


def find_page() -> PageFiles | None:
    """Return the folders, ``None`` where one of them is missing."""
    page = Path(__file__).with_name("page")
    roots = Path(__file__).parents[2], Path(sysconfig.get_path("data"), "share", "flashtalk")
    players = [root.joinpath(*_PLAYER) for root in roots]
    player = next((found for found in players if (found / "player.js").exists()), None)
    if player is None or not (page / "index.html").exists():
        return None
    return PageFiles(page, player)
