"""The causal video autoencoder: clips in, normalised latents out, and back group by group.

Axis legend: B batch, F pixel frames, T latent frames, H W pixels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from ...config.networks import VAEConfig
from ...geometry import TEMPORAL_STRIDE, num_latent_frames
from ..half_precision import guard_convolutions
from .cache import CausalCache
from .coders import Decoder, Encoder
from .layers import CausalConv3d, SequenceRunner, name_causal_layers, run_sequence
from .light_decoder import LightDecoder
from .repeats import RepeatRunner


class VideoVAE(nn.Module):
    """Wan 2.1's video autoencoder.

    Source: SoulX-FlashTalk ``WanVAE_`` @ 688982e (the parameter names are theirs).
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.runner: SequenceRunner = run_sequence
        self.encoder = Encoder(config)
        self.conv1 = CausalConv3d(2 * config.z_dim, 2 * config.z_dim, (1, 1, 1))
        self.decoder: Decoder | LightDecoder
        if not config.light_widths:
            self.conv2 = CausalConv3d(config.z_dim, config.z_dim, (1, 1, 1))
            self.decoder = Decoder(config)
        else:
            self.decoder = LightDecoder(config)
        shape = (1, config.z_dim, 1, 1, 1)
        for name, values in (
            ("latent_mean", config.latent_mean),
            ("latent_std", config.latent_std),
        ):
            self.register_buffer(
                name, torch.tensor(values, device="cpu").view(shape), persistent=False
            )
        name_causal_layers(self)
        guard_convolutions(self)

    @property
    def has_light_decoder(self) -> bool:
        """Whether a small decoder decodes, which has no layers of the autoencoder's kind."""
        return isinstance(self.decoder, LightDecoder)

    def encode(self, video: Tensor, num_latents: int = 1) -> Tensor:
        """Encode a clip, a group of frames at a time.

        Args:
            video: ``(B, 3, F, H, W)`` in ``[-1, 1]``, F = 4n + 1.
            num_latents: Latent frames made in a call; see :meth:`decode_groups`.

        Returns:
            Normalised latent means, ``(B, 16, T, h, w)``, dtype of ``video``.
        """
        cache = CausalCache()
        total = num_latent_frames(video.shape[2])
        if total == 2 and video.device.type == "cpu":
            num_latents = 2  # motion frames: a call for the first frame costs half of another
        latents = _boundaries(total, num_latents)
        boundaries = [max(0, 1 + TEMPORAL_STRIDE * (boundary - 1)) for boundary in latents]
        run = self._encoder_runner(video, len(boundaries) - 1)
        moments = [
            self.encoder(video[:, :, start:stop], cache, run)
            for start, stop in pairwise(boundaries)
        ]
        return self.normalise(self.moments_to_mean(torch.cat(moments, dim=2)))

    def _encoder_runner(self, video: Tensor, num_calls: int) -> SequenceRunner:
        """Return what runs the encoder's layers on a clip in ``num_calls`` calls."""
        # Where memory is short each layer's last result is not held.
        is_plain = video.device.type == "cpu" and self.runner is run_sequence
        can_repeat = num_calls > 2 and is_plain and not torch.is_grad_enabled()
        return RepeatRunner() if can_repeat else self.runner

    def decode_groups(self, latent: Tensor, num_latents: int = 1) -> Iterator[Tensor]:
        """Decode latents group by group; the first latent frame belongs to the first group.

        The frames are the same for every group size. More frames a call keep a GPU busier and
        repeat less work at group boundaries; later frames of a group come later, and memory
        grows in proportion: each latent frame of a group costs ``4 * dim * H * W`` numbers for
        every full-size tensor alive at a time (0.26 GB each in bfloat16 at 768 x 448 with
        ``dim`` 96, and several are alive).

        Args:
            latent: Normalised latents, ``(B, 16, T, h, w)``.
            num_latents: Latent frames in a call, 1 or more, without the first one, which stands
                for a single frame and is a call of its own only where groups are of 1. A small
                decoder on a CPU counts it. The last group holds what is left.

        Returns:
            ``(B, 3, 4 * n, H, W)`` for each group of n, the first latent frame counting for 1
            frame, clamped to ``[-1, 1]``.
        """
        # To a small decoder the first latent frame is as much work as any other.
        is_even = self.has_light_decoder and latent.device.type == "cpu"
        return decode_in_groups(self.decode_group, latent, num_latents, counts_first=is_even)

    def decode_group(self, latent: Tensor, cache: CausalCache) -> Tensor:
        """Decode the next latent frames of a clip; see :meth:`decode_groups`."""
        return clamp_frames(self.decode_frames(latent, cache))

    def decode_frames(self, latent: Tensor, cache: CausalCache | None = None) -> Tensor:
        """Decode a clip, or the next latent frames of one, to frames that are not clamped."""
        if isinstance(self.decoder, LightDecoder):
            return self.decoder(latent, cache)
        return self.decoder(self.conv2(self.denormalise(latent)), cache, self.runner)

    def moments_to_mean(self, moments: Tensor) -> Tensor:
        """Return the mean half of the encoder's output ``(B, 32, T, h, w)``."""
        return self.conv1(moments).chunk(2, dim=1)[0]

    def normalise(self, latent: Tensor) -> Tensor:
        """Bring raw latent means to zero mean and unit variance per channel."""
        return (latent - self.latent_mean.to(latent)) / self.latent_std.to(latent)

    def denormalise(self, latent: Tensor) -> Tensor:
        """Undo :meth:`normalise`."""
        return latent * self.latent_std.to(latent) + self.latent_mean.to(latent)


def decode_in_groups(
    decode_group: Callable[[Tensor, CausalCache], Tensor],
    latent: Tensor,
    num_latents: int,
    *,
    counts_first: bool = False,
) -> Iterator[Tensor]:
    """Yield what ``decode_group`` returns for each group; see :meth:`VideoVAE.decode_groups`.

    ``counts_first`` says whether the first latent frame counts in its group as any other.
    """
    cache = CausalCache()
    for start, stop in pairwise(_boundaries(latent.shape[2], num_latents, counts_first)):
        yield decode_group(latent[:, :, start:stop], cache)


def clamp_frames(frames: Tensor) -> Tensor:
    """Clamp to ``[-1, 1]``; what is infinite becomes NaN, not a colour: the caller has to notice.

    Not by an ``alpha`` of 0, with which PyTorch adds nothing on Apple's GPUs.
    """
    return frames.clamp(-1, 1).add_(frames * 0)


def group_sizes(total: int, num_latents: int) -> list[int]:
    """Return how many of ``total`` latent frames each group has; see :meth:`.decode_groups`."""
    return [stop - start for start, stop in pairwise(_boundaries(total, num_latents))]


def _boundaries(total: int, num_latents: int, counts_first: bool = False) -> list[int]:
    """Return the starts of groups of latent frames, and the end of the last one."""
    assert num_latents >= 1, num_latents
    first = num_latents if counts_first or num_latents == 1 else 1 + num_latents
    return [0, *range(first, total, num_latents), total]
