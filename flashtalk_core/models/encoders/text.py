"""umT5 text encoder, and encoding of a prompt with it.

Axis legend: B batch, L tokens, n tokens of the prompt, end of sequence included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ...config.networks import TextEncoderConfig

if TYPE_CHECKING:
    from .tokenizer import Tokenizer


class TextEncoder(nn.Module):
    """Encoder half of umT5, with a relative position bias in every layer.

    The layers are those of ``transformers``; parameter names are theirs.
    """

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        from transformers import UMT5Config, UMT5EncoderModel

        self.config = config
        # The feed-forward is gated by the tanh form of GELU; the epsilon is 1e-6.
        # Source: SoulX-FlashTalk ``t5.py`` @ 688982e.
        settings = UMT5Config(
            vocab_size=config.vocab_size,
            d_model=config.dim,
            d_kv=config.dim_attn // config.num_heads,
            d_ff=config.dim_ffn,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            relative_attention_num_buckets=config.num_buckets,
            relative_attention_max_distance=128,
            dropout_rate=0.0,
            layer_norm_epsilon=1e-6,
            feed_forward_proj="gated-gelu",
            use_cache=False,
        )
        # Only the stack is stored: its parent shares one embedding under two names.
        self.encoder = UMT5EncoderModel(settings).encoder

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Encode token ids.

        Args:
            ids: ``(B, L)`` int64, padded with 0.
            mask: ``(B, L)``, 1 on tokens and 0 on padding.

        Returns:
            Context ``(B, L, dim)`` in the weights' dtype; rows of padding carry no meaning.

        Source: SoulX-FlashTalk ``T5Encoder`` @ 688982e.
        """
        return self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state


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
