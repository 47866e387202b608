"""CLIP vision tower without its last block.

Axis legend: B batch, H W pixels, L patches and one class token.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ...config.networks import ClipVisionConfig
from ..half_precision import guard_convolutions
from .vision_layers import PatchEmbeddings, VisionStack

# Source: openai/CLIP ``_transform``.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


class ClipVision(nn.Module):
    """ViT tower that stops before its last block and has no final norm.

    Parameter names are those of the published weights.
    """

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = PatchEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.dim)
        self.encoder = VisionStack(config)
        guard_convolutions(self)

    def forward(self, image: Tensor) -> Tensor:
        """Encode images as tokens.

        Args:
            image: ``(B, 3, H, W)`` floating point in ``[-1, 1]``.

        Returns:
            Tokens ``(B, L, dim)`` in the weights' dtype, the class token first.

        Source: SoulX-FlashTalk ``CLIPModel.visual`` @ 688982e.
        """
        size = (self.config.image_size, self.config.image_size)
        pixels = functional.interpolate(
            image.float(), size=size, mode="bicubic", align_corners=False
        )
        mean = pixels.new_tensor(_MEAN).view(3, 1, 1)
        std = pixels.new_tensor(_STD).view(3, 1, 1)
        pixels = (pixels * 0.5 + 0.5 - mean) / std
        dtype = self.pre_layrnorm.weight.dtype
        hidden = self.pre_layrnorm(self.embeddings(pixels.to(dtype)))
        tokens: Tensor = self.encoder(hidden)
        return tokens
