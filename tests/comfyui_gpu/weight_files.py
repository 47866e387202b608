"""Files of a whole model with random weights, quickly: every tensor is a part of the same numbers.

A matrix begins at another place of these numbers than others do, and its rows at other places than
their neighbours, so that no two are alike.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

import torch
from torch import Tensor, nn

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.models.attention import sdpa
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.encoders.clip_vision import ClipVision
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.weights.discovery.layout import resolve_model
from flashtalk_core.weights.formats.safetensors_writer import Entry, write_safetensors
from flashtalk_core.weights.formats.scaled_fp8 import FP8_MARKER, SCALE_SUFFIX
from flashtalk_core.weights.mapping.key_maps import published_clip_name, published_text_name
from flashtalk_core.weights.save import save_settings

NUM_DRAWN = 2**22 - 3
"""No multiple of any width."""
NUM_SHARDS = 7
"""As the authors' files."""
FP8_SPREAD = 64.0
"""Standard deviation of what is stored in FP8; its largest number is 448."""
LORA_RANK = 16
SHARDS = "SoulX-FlashTalk-14B/"
"""Transformer as the authors publish it: a folder of shards and their index."""
SINGLE = "flashtalk_14b_fp8_scaled.safetensors"
"""As ComfyUI's users have it: one file, FP8 with a scale for each matrix."""
LORA = "random.safetensors"


@dataclass(frozen=True)
class Drawn:
    """A parameter to be written, N(mean, spread)."""

    name: str
    shape: tuple[int, ...]
    spread: float
    mean: float = 0.0

    @classmethod
    def of(cls, name: str, parameter: Tensor) -> "Drawn":
        """As `bench` draws it: matrices by fan-in, scales of norms around 1, biases small."""
        leaf, shape = name.rpartition(".")[2], tuple(parameter.shape)
        if leaf == "gamma" or (leaf == "weight" and len(shape) == 1):
            return cls(name, shape, 0.1, 1.0)
        if len(shape) < 2:
            return cls(name, shape, 0.02)
        fan_in = shape[-1] if leaf == "modulation" else parameter[0].numel()
        return cls(name, shape, fan_in**-0.5)


@dataclass
class Numbers:
    """What all tensors are made of."""

    normal: Tensor = field(
        default_factory=lambda: torch.randn(NUM_DRAWN, generator=torch.Generator().manual_seed(0))
    )
    _made: dict[tuple[torch.dtype, float, float], Tensor] = field(default_factory=dict)

    def tensor(self, name: str, shape: tuple[int, ...], dtype: torch.dtype, *spread: float):
        """Return numbers of a standard deviation and a mean, those of a name the same."""
        key = (dtype, *spread)
        if key not in self._made:
            self._made[key] = (self.normal * spread[0] + spread[1]).to(dtype)
        stored = self._made[key].view(torch.uint8)
        size = dtype.itemsize
        count, start = torch.Size(shape).numel() * size, crc32(name.encode()) % NUM_DRAWN * size
        parts = [stored[start : start + count]]
        while (left := count - sum(map(len, parts))) > 0:
            parts.append(stored[:left])
        return torch.cat(parts).view(dtype).view(shape)


class ModelFiles:
    """ComfyUI's folder of models, and what is in it."""

    def __init__(self, models: Path, config: AvatarConfig, *, has_settings: bool):
        """Write nothing yet.

        Args:
            models: The folder.
            config: Sizes of all networks.
            has_settings: Whether ``flashtalk.json`` has to say what shapes do not.
        """
        self.models, self.config = models, config
        self._has_settings = has_settings
        self._numbers = Numbers()
        self._folder = models / "diffusion_models"

    def write_encoders(self) -> None:
        """Write the autoencoder and the encoders, those of texts in FP8."""
        config = self.config
        # The published tower has one block more than is run.
        clip = replace(config.clip, num_layers=config.clip.num_layers + 1)
        text = "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors"
        image = "clip_vision/clip_vision_h.safetensors"
        parts: list[tuple[str, Callable[[], nn.Module], Callable[[str], str]]] = [
            ("vae/wan_2.1_vae.safetensors", lambda: VideoVAE(config.vae), str),
            (text, lambda: TextEncoder(config.text), published_text_name),
            (image, lambda: ClipVision(clip), published_clip_name),
            (
                "audio_encoders/wav2vec2-chinese-base.safetensors",
                lambda: AudioEncoder(config.audio),
                str,
            ),
        ]
        for name, build, rename in parts:
            drawn = [replace(each, name=rename(each.name)) for each in parameters_of(build)]
            self._write(self.models / name, drawn, is_fp8=name == text)
        tokenizer = resolve_model("tiny") / "spiece.model"
        (self.models / text).with_name(tokenizer.name).write_bytes(tokenizer.read_bytes())
        if self._has_settings:  # for the command line
            save_settings(config, self.models)

    def write_shards(self) -> None:
        """Write the transformer as its authors do, in bfloat16."""
        folder, drawn = self._folder / SHARDS, self._transformer()
        each = -(-len(drawn) // NUM_SHARDS)
        name = "diffusion_pytorch_model-{:05}-of-{:05}.safetensors"

        def write(index: int) -> None:
            part = drawn[index * each : (index + 1) * each]
            self._write(folder / name.format(index + 1, NUM_SHARDS), part)

        folder.mkdir(parents=True)
        with ThreadPoolExecutor(NUM_SHARDS) as pool:
            list(pool.map(write, range(NUM_SHARDS)))
        if self._has_settings:
            save_settings(self.config, folder)

    def write_single(self) -> None:
        """Write the transformer as one file in FP8."""
        self._write(self._folder / SINGLE, self._transformer(), is_fp8=True)
        if self._has_settings:
            save_settings(self.config, self._folder)

    def remove_transformers(self) -> None:
        """Make room for the other layout."""
        for path in sorted(self._folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def write_lora(self) -> None:
        """Write a LoRA for the first matrix of each block's feed-forward network."""
        dit = self.config.dit
        shapes = {"A": (LORA_RANK, dit.dim), "B": (dit.ffn_dim, LORA_RANK)}
        self._write(
            self.models / "loras" / LORA,
            [
                Drawn(f"diffusion_model.blocks.{i}.ffn.0.lora_{key}.weight", shape, 0.02)
                for i in range(dit.num_layers)
                for key, shape in shapes.items()
            ],
        )

    def _transformer(self) -> list[Drawn]:
        return list(parameters_of(lambda: AvatarDiT(self.config.dit, sdpa)))

    def _write(self, path: Path, drawn: list[Drawn], *, is_fp8: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        made: dict[str, Callable[[], Tensor]] = {}
        entries = [self._entry(each, made, is_fp8=is_fp8 and is_matrix(each)) for each in drawn]
        if is_fp8:
            for each in filter(is_matrix, drawn):
                name = each.name.removesuffix("weight") + SCALE_SUFFIX
                scale = torch.tensor(each.spread / FP8_SPREAD)
                made[name] = lambda scale=scale: scale
                entries.append(Entry(name, (), torch.float32))
            # Two elements make ComfyUI multiply in full precision.
            made[FP8_MARKER] = lambda: torch.zeros(2, dtype=torch.float8_e4m3fn)
            entries.append(Entry(FP8_MARKER, (2,), torch.float8_e4m3fn))
        with path.open("wb") as file:
            write_safetensors(file, {"format": "pt"}, entries, lambda entry: made[entry.name]())

    def _entry(self, each: Drawn, made: dict[str, Callable[[], Tensor]], *, is_fp8: bool) -> Entry:
        dtype = torch.float8_e4m3fn if is_fp8 else torch.bfloat16
        numbers = (FP8_SPREAD, 0.0) if is_fp8 else (each.spread, each.mean)
        made[each.name] = lambda: self._numbers.tensor(each.name, each.shape, dtype, *numbers)
        return Entry(each.name, each.shape, dtype)


def is_matrix(drawn: Drawn) -> bool:
    return drawn.name.endswith(".weight") and len(drawn.shape) == 2


def parameters_of(build: Callable[[], nn.Module]) -> Iterator[Drawn]:
    with torch.device("meta"):
        module = build()
    return (Drawn.of(name, parameter) for name, parameter in module.named_parameters())
