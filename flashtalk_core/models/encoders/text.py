"""umT5 text encoder, and encoding of a prompt with it.

Axis legend: B batch, L tokens, n tokens of the prompt, end of sequence included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ...config.networks import TextEncoderConfig
from .umt5 import TextStack

if TYPE_CHECKING:
    from .tokenizer import Tokenizer


class TextEncoder(nn.Module):
    """Encoder half of umT5, with a relative position bias in every layer.

    Parameter names are those of the published weights.
    """

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = TextStack(config)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Encode token ids.

        Args:
            ids: ``(B, L)`` int64, padded with 0.
            mask: ``(B, L)``, 1 on tokens and 0 on padding.

        Returns:
            Context ``(B, L, dim)`` in the weights' dtype; rows of padding carry no meaning.

        Source: SoulX-FlashTalk ``T5Encoder`` @ 688982e.
        """
        context: Tensor = self.encoder(ids, mask)
        return context


def encode_prompt(
    encoder: TextEncoder, tokenizer: Tokenizer, prompt: str, max_len: int = 512
) -> Tensor:
    """Encode ``prompt`` and drop the padding.

    Args:
        encoder: Text encoder, on the device it is to run on.
        tokenizer: Tokenizer of the same model.
        prompt: Text; longer than ``max_len`` tokens is cut.
        max_len: Most tokens, end of sequence included.

    Returns:
        Context ``(n, dim)``, ``1 <= n <= max_len``, in the weights' dtype.
    """
    ids, mask = tokenizer(prompt, max_len)
    length = int(mask.sum())
    device = next(encoder.parameters()).device
    # Masked positions change nothing, so they are not computed at all.
    return encoder(ids[:, :length].to(device), mask[:, :length].to(device))[0]
