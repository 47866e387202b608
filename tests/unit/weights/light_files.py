"""Files of light autoencoders in the published layouts, of random weights."""

import torch

FULL = (256, 128, 64, 64)
"""Widths of TAE's decoder as published; its encoder is 64 wide."""


def conv(out, inner, size=3, *, bias=True, name=""):
    scale = 1 / (inner * size * size) ** 0.5
    state = {f"{name}.weight": scale * torch.randn(out, inner, size, size)}
    return state | ({f"{name}.bias": 0.1 * torch.randn(out)} if bias else {})


def past_block(width, name):
    sizes = ((width, 2 * width), (width, width), (width, width))
    layers = zip((0, 2, 4), sizes, strict=True)
    return {
        key: value
        for number, (out, inner) in layers
        for key, value in conv(out, inner, name=f"{name}.conv.{number}").items()
    }


def tae(widths=FULL, encoder=64, z_dim=16, prefix="", patch=1):
    """Return tensors of a TAE, named as ``taew2_1``; without an encoder if ``encoder`` is 0."""
    state = conv(widths[0], z_dim, name="decoder.1")
    for level, number in enumerate((3, 9, 15)):
        width, after = widths[level : level + 2]
        for block in range(3):
            state |= past_block(width, f"decoder.{number + block}")
        grow = (1, 2, 2)[level]
        state |= conv(width * grow, width, 1, bias=False, name=f"decoder.{number + 4}.conv")
        state |= conv(after, width, bias=False, name=f"decoder.{number + 5}")
    state |= conv(3 * patch**2, widths[3], name="decoder.22")
    if encoder:
        state |= conv(encoder, 3, name="encoder.0")
        for level, number in enumerate((2, 7, 12)):
            stride = (2, 2, 1)[level]
            state |= conv(encoder, encoder * stride, 1, bias=False, name=f"encoder.{number}.conv")
            state |= conv(encoder, encoder, bias=False, name=f"encoder.{number + 1}")
            for block in range(3):
                state |= past_block(encoder, f"encoder.{number + 2 + block}")
        state |= conv(z_dim, encoder, name="encoder.17")
    return {prefix + name: value for name, value in state.items()}
