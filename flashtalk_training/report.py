"""Figures of a finished run: its curves, and a contact sheet of portraits and frames."""

from __future__ import annotations

from pathlib import Path

import torch

from flashtalk_core.weights.load import load_avatar

from .evaluation.batched_sessions import Sessions
from .evaluation.contact_sheet import contact_row, save_image
from .evaluation.eval_clip import ArrayAudio, held_out_clips
from .runs.curves import read_curve
from .speech.corpus_file import load_corpus
from .stages import TrainingFiles

_CURVES = {
    "vae": ("psnr_db", "psnr_first_db"),
    "audio": ("held_out_opening_correlation", "held_out_class_accuracy"),
    "dit": ("loss", "held_out_loss"),
}
_NUM_CLIPS = 6
_SECONDS = 4


def write_report(files: TrainingFiles, model: Path, folder: Path) -> None:
    """Write ``curves.png`` and ``contact_sheet.png``.

    Args:
        files: The run.
        model: Its exported model.
        folder: Where the images go; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw_curves(files.runs, folder / "curves.png")
    models = load_avatar(model, "cpu")
    clips = held_out_clips(load_corpus(files.corpus), _NUM_CLIPS, models.config.size_px)
    num_frames = _SECONDS * models.config.chunk.frame_rate_hz
    sessions = Sessions(
        models,
        torch.stack([clip.portrait for clip in clips]),
        [ArrayAudio(clip.samples) for clip in clips],
        models.config.sampling,
    )
    chunks = list(sessions.play(-(-num_frames // models.config.chunk.num_new_frames)))
    videos = torch.cat(chunks, dim=1)[:, :num_frames]
    rows = [contact_row(clip.portrait, video) for clip, video in zip(clips, videos, strict=True)]
    save_image(torch.cat(rows, dim=1), folder / "contact_sheet.png")


def draw_curves(runs: Path, path: Path) -> None:
    """Plot what each stage reported over its training time."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(_CURVES), figsize=(13, 3.6), layout="constrained")
    for axis, (stage, names) in zip(axes, _CURVES.items(), strict=True):
        curve = read_curve(runs / f"{stage}.csv")
        for name in names:
            points = [(point["time_s"], point[name]) for point in curve if name in point]
            axis.plot(*zip(*points, strict=True), label=name)
        axis.set(title=stage, xlabel="training time, s")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
