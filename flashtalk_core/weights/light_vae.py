"""Light autoencoders as people have them: LightVAE and TAE files for Wan 2.1's latents."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from ..config.light_vae import LightVAEConfig
from ..config.networks import VAEConfig
from ..errors import WeightsError, about
from ..files.paths import check_file
from ..models.vae.light_vae import LightVAE
from .formats.shown import some
from .formats.source import TensorSource
from .formats.tensor_file import open_tensor_file
from .load import LightVAEFile
from .mapping.key_maps import KeyMap, Target
from .mapping.light_vae import CAUSAL, CAUSAL_ENCODER, TAE, tae_prefix
from .mapping.published_names import renamed, with_published_names
from .mapping.sizes import light_encoder_sizes, named_shapes, numbers_in, vae_sizes
from .model_sources import Sources
from .plan import plan_component

_NUM_LEVELS = 4
_RAW = "lighttae"
"""In the names of LightX2V's TAE files, whose tensors have the names and shapes of all others."""
_NAMES_SHOWN = 3
_KEYS = KeyMap(lambda name: (Target(f"coder.{name}"),))
_ACCEPTED = (
    "take a light autoencoder for Wan 2.1: lightvaew2_1, lighttaew2_1 "
    "(https://huggingface.co/lightx2v/Autoencoders) or taew2_1 "
    "(https://github.com/madebyollin/taehv)"
)


def open_light_vae(path: Path, model: VAEConfig) -> LightVAEFile:
    """Check a light autoencoder, or any other with the layers of Wan 2.1's; no weights are read.

    Args:
        path: Its file.
        model: Of the model's own autoencoder, whose latents it is to decode.

    Raises:
        WeightsError: If it is something else, damaged, or for other latents.
        InvalidInputError: If there is no such file.
    """
    with about("light_vae"):
        check_file(path, "light autoencoder")
        source = open_tensor_file(path)
        prefix = tae_prefix(source.infos)
        if prefix is not None:
            config, sources = _tae(source, prefix, model)
        else:
            config, sources = _causal(source, model)
        _check_latents(source, config.vae, model)
        plan = plan_component(partial(LightVAE, config), sources, _KEYS)
    return LightVAEFile(path, config, plan)


def _tae(source: TensorSource, prefix: str, model: VAEConfig) -> tuple[LightVAEConfig, Sources]:
    """Return sizes and source of a TAE; its layers have the model's names but for what is before.

    A decoder that comes with the autoencoder's own encoder, as the bundled model's does, has none.
    """
    parts = ("decoder.",) if prefix + CAUSAL_ENCODER in source.infos else ("decoder.", "encoder.")

    def name_of(stored: str) -> str | None:
        name = stored.removeprefix(prefix)
        return name if name.startswith(parts) or len(parts) > 1 else None

    named = renamed(source, name_of)
    shapes = named_shapes((named,))
    sizes = vae_sizes({name: shape for name, shape in shapes.items() if "decoder." in name})
    if "light_widths" not in sizes:
        raise WeightsError(
            f"{source.label}: named as a TAE, but its decoder has other layers; {_ACCEPTED}"
        )
    vae = replace(_wan(model, shapes[TAE[0]][1]), **sizes)
    encoder = light_encoder_sizes(shapes)
    if encoder and vae.light_patch != 1:
        raise WeightsError(
            f"{source.label}: a TAE of {vae.light_patch} pixels a place, as for Wan 2.2; "
            f"{_ACCEPTED}"
        )
    return LightVAEConfig(vae=vae, has_raw_latents=_RAW in source.name.lower(), **encoder), (named,)


def _causal(source: TensorSource, model: VAEConfig) -> tuple[LightVAEConfig, Sources]:
    """Return sizes and source of an autoencoder with the layers of Wan 2.1's, fewer of each."""
    sources = with_published_names("vae", (source,))
    shapes = named_shapes(sources)
    if not shapes.keys() >= set(CAUSAL):
        names = some(sorted(source.infos), _NAMES_SHOWN) or "none"
        raise WeightsError(
            f"{source.label}: no light autoencoder that is known, its {len(source.infos)} tensors "
            f"have other names ({names}); {_ACCEPTED}"
        )
    sizes = vae_sizes(shapes)
    num_layers = len(numbers_in(shapes, r"encoder\.downsamples\.(\d+)\."))
    # Each level has its blocks and, but for the last, what halves the size.
    blocks = max(1, (num_layers + 1) // _NUM_LEVELS - 1)
    vae = replace(_wan(model, sizes.pop("z_dim")), num_res_blocks=blocks, **sizes)
    return LightVAEConfig(vae=vae), sources


def _wan(model: VAEConfig, z_dim: int) -> VAEConfig:
    """Return Wan 2.1's levels with the latents' statistics of a model."""
    if z_dim != model.z_dim:  # refused afterwards, with what was found
        return VAEConfig(z_dim=z_dim, latent_mean=(0.0,) * z_dim, latent_std=(1.0,) * z_dim)
    return VAEConfig(z_dim=z_dim, latent_mean=model.latent_mean, latent_std=model.latent_std)


def _check_latents(source: TensorSource, found: VAEConfig, model: VAEConfig) -> None:
    if found.z_dim != model.z_dim:
        raise WeightsError(
            f"{source.label}: a light autoencoder of {found.z_dim} latent channels, and the model "
            f"has {model.z_dim}; {_ACCEPTED}"
        )
