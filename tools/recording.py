"""Make a short animation of what recording.mjs saw: ``python tools/recording.py FOLDER OUT.webp``.

In real time, as a user saw it; the end is held for two seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

RATE_HZ = 5
END_MS = 2000
WIDTH_PX = 340
QUALITY = 40


def read_frames(folder: Path) -> dict[int, Path]:
    """Return the images by the milliseconds since the first one."""
    times = {int(path.stem): path for path in folder.glob("*.jpg")}
    start = min(times)
    return {time - start: times[time] for time in sorted(times)}


def load(path: Path) -> Image.Image:
    """Return a screenshot at the width of the animation."""
    image = Image.open(path).convert("RGB")
    return image.resize((WIDTH_PX, round(WIDTH_PX * image.height / image.width)))


def main() -> None:
    """Write the animation."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    frames = read_frames(folder)
    # The image shown at each tick: they were taken about as often.
    ticks = range(0, max(frames) + 1, 1000 // RATE_HZ)
    shown = [frames[max(time for time in frames if time <= tick)] for tick in ticks]
    images = [load(path) for path in shown]
    durations = [1000 // RATE_HZ] * (len(images) - 1) + [END_MS]
    images[0].save(
        out, save_all=True, append_images=images[1:], duration=durations, loop=0,
        quality=QUALITY, method=6, minimize_size=True,
    )  # fmt: skip
    sys.stdout.write(f"{out}: {len(images)} images, {out.stat().st_size / 1024:.0f} KiB\n")


if __name__ == "__main__":
    main()
