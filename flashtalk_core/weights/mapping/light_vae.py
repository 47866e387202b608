"""Light autoencoders told from other files: by the names and shapes of their tensors."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ...config.networks import VAEConfig
from ...errors import WeightsError
from ..formats.tensor_file import TensorFile, check_header
from .published_names import with_published_names
from .sizes import named_shapes

TAE = ("decoder.1.weight", "decoder.3.conv.0.weight")
"""Layers of every TAE's decoder, whatever stands before their names."""
CAUSAL_ENCODER = "encoder.conv1.weight"
CAUSAL = (CAUSAL_ENCODER, "decoder.conv1.weight", "conv1.weight", "conv2.weight")
_NAMED = ("taew2_1", "lightvae")


def is_light_vae(path: Path) -> bool:
    """Whether a file is a light autoencoder, for a menu; only its header is read.

    A pickled file, whose table takes longer to read, is told by its name.
    """
    try:
        infos = check_header(path)
    except WeightsError:
        return False
    if infos is None:
        return any(part in path.name.lower() for part in _NAMED)
    if tae_prefix(infos) is not None:
        return CAUSAL_ENCODER not in infos  # which is beside a small decoder that it came with
    try:
        shapes = named_shapes(with_published_names("vae", (TensorFile(path, infos, (0, 0)),)))
    except WeightsError:
        return False
    return shapes.keys() >= set(CAUSAL) and shapes[CAUSAL_ENCODER][0] < VAEConfig.dim


def tae_prefix(names: Collection[str]) -> str | None:
    """Return what stands before the names of a TAE's layers, ``None`` if it is none."""
    for name in names:
        if name.endswith(TAE[0]):
            prefix = name.removesuffix(TAE[0])
            if all(prefix + each in names for each in TAE):
                return prefix
    return None
