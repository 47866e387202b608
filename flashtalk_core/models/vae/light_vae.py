"""A light autoencoder: it decodes a model's latents faster than the model's own, and less exactly.

Axis legend: B batch, F pixel frames, T latent frames, H W pixels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ...config.light_vae import LightVAEConfig
from ...geometry import TEMPORAL_STRIDE
from ..half_precision import guard_convolutions
from .cache import CausalCache
from .light_decoder import LightDecoder
from .light_encoder import LightEncoder, fill_last_latent
from .model import VideoVAE, clamp_frames, decode_in_groups


class ImageCoder(nn.Module):
    """Encoder and decoder of images that see the image before them (TAE)."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: LightVAEConfig) -> None:
        super().__init__()
        self.config = config.vae
        self._is_raw = config.has_raw_latents
        self.encoder: LightEncoder | None = None
        if config.encoder_width:
            sizes = config.encoder_width, config.encoder_blocks, config.vae.z_dim
            self.encoder = LightEncoder(*sizes)
        self.decoder = LightDecoder(config.vae)
        for name in ("latent_mean", "latent_std"):
            values = torch.tensor(getattr(config.vae, name), device="cpu")
            self.register_buffer(name, values.view(1, -1, 1, 1, 1), persistent=False)
        guard_convolutions(self)

    def encode(self, video: Tensor, num_latents: int = 1) -> Tensor:
        """Encode a clip; see :meth:`.VideoVAE.encode`."""
        assert self.encoder is not None, "checked when it was chosen"
        whole, cache = fill_last_latent(video), CausalCache()
        parts = whole.split(TEMPORAL_STRIDE * num_latents, dim=2)
        latent = torch.cat([self.encoder(part, cache) for part in parts], dim=2)
        if not self._is_raw:
            return latent
        return (latent - self.latent_mean.to(latent)) / self.latent_std.to(latent)

    def decode_groups(self, latent: Tensor, num_latents: int = 1) -> Iterator[Tensor]:
        """Decode latents group by group; see :meth:`.VideoVAE.decode_groups`."""
        is_even = latent.device.type == "cpu"  # as of the model's own small decoder
        return decode_in_groups(self.decode_group, latent, num_latents, counts_first=is_even)

    def decode_group(self, latent: Tensor, cache: CausalCache) -> Tensor:
        """Decode the next latent frames of a clip; see :meth:`.VideoVAE.decode_groups`."""
        if self._is_raw:
            latent = latent * self.latent_std.to(latent) + self.latent_mean.to(latent)
        return clamp_frames(self.decoder(latent, cache))


class LightVAE(nn.Module):
    """A light autoencoder beside a model's own, which it takes the place of for some frames."""

    def __init__(self, config: LightVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.coder: VideoVAE | ImageCoder
        self.coder = ImageCoder(config) if config.is_tae else VideoVAE(config.vae)


AUTOENCODERS = (VideoVAE, LightVAE)
"""What runs where frames are encoded and decoded."""
