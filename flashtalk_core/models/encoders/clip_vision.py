"""CLIP vision tower without its last block.

Axis legend: B batch, H W pixels, L patches and one class token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...config.networks import ClipVisionConfig
from ..half_precision import guard_convolutions

# Source: openai/CLIP ``_transform``.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


class ClipVision(nn.Module):
    """ViT tower that stops before its last block and has no final norm.

    The layers are those of ``transformers``; parameter names are theirs.
    """

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        from transformers import CLIPVisionConfig as TowerConfig
        from transformers import CLIPVisionModel

        self.config = config
        model = CLIPVisionModel(
            TowerConfig(
                image_size=config.image_size,
                patch_size=config.patch_size,
                hidden_size=config.dim,
                intermediate_size=int(config.dim * config.mlp_ratio),
                num_attention_heads=config.num_heads,
                num_hidden_layers=config.num_layers - 1,
                hidden_act="gelu",
                layer_norm_eps=1e-5,
                attention_dropout=0.0,
            )
        )
        # Releases before 5 add a wrapper around the tower.
        tower = getattr(model, "vision_model", model)
        self.embeddings = tower.embeddings
        self.pre_layrnorm = tower.pre_layrnorm
        self.encoder = tower.encoder
        guard_convolutions(self)
        # Not in any file: it must exist even when the weights are built on the meta device.
        num_tokens = (config.image_size // config.patch_size) ** 2 + 1
        positions = torch.arange(num_tokens, device="cpu")[None]
        self.embeddings.register_buffer("position_ids", positions, persistent=False)

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
        return self.encoder(inputs_embeds=hidden).last_hidden_state
