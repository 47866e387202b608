"""Every reader of outside data, as entries; :mod:`tests.fuzz.reader` tells how to add one."""

from . import audio, fleet, images, isobmff, jobs, pages, texts, training, videos, weights

ALL = (
    *weights.READERS, *audio.READERS, *images.READERS, *isobmff.READERS, *videos.READERS,
    *texts.READERS, *fleet.READERS, *pages.READERS, *jobs.READERS, *training.READERS,
)  # fmt: skip
