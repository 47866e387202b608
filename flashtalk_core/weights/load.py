"""Avatar models out of their files, whole or one component at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ..config import AvatarConfig
from ..errors import WeightsError
from ..models.attention import Attention, sdpa
from ..models.audio_encoder import AudioEncoder
from ..models.clip_vision import ClipVision
from ..models.dit import AvatarDiT
from ..models.text_encoder import TextEncoder
from ..models.tokenizer import Tokenizer
from ..models.vae.model import VideoVAE
from .key_maps import AUDIO_KEYS, DIT_KEYS, TEXT_KEYS, VAE_KEYS, clip_keys
from .layout import ModelFiles, find_model_files, missing_part, resolve_model
from .model_config import avatar_config
from .plan import LoadPlan, materialise, plan_component
from .quantised import TOKENIZER_TENSOR
from .reader import TensorFile, open_tensor_file


@dataclass(frozen=True)
class AvatarModels:
    """Every component of an avatar model, ready to run."""

    config: AvatarConfig
    dit: AvatarDiT
    vae: VideoVAE
    text_encoder: TextEncoder
    tokenizer: Tokenizer
    clip: ClipVision
    audio_encoder: AudioEncoder


@dataclass(frozen=True)
class AvatarCheckpoint:
    """Files of an avatar model that were checked and from which any component can be loaded.

    Encoders of text, picture and sound run in float32 on a CPU, where half precision is slow.
    """

    files: ModelFiles
    config: AvatarConfig
    tokenizer: Tokenizer
    dit_plan: LoadPlan[AvatarDiT]
    vae_plan: LoadPlan[VideoVAE]
    text_plan: LoadPlan[TextEncoder]
    clip_plan: LoadPlan[ClipVision]
    audio_plan: LoadPlan[AudioEncoder]

    def load_dit(self, device: torch.device, dtype: torch.dtype) -> AvatarDiT:
        """Load the diffusion transformer."""
        return materialise(self.dit_plan, device, dtype)

    def load_vae(self, device: torch.device, dtype: torch.dtype) -> VideoVAE:
        """Load the video autoencoder."""
        return materialise(self.vae_plan, device, dtype)

    def load_text_encoder(self, device: torch.device, dtype: torch.dtype) -> TextEncoder:
        """Load the text encoder, which is not needed once the prompt is encoded."""
        # umT5's activations leave the range of float16.
        safe = torch.bfloat16 if dtype == torch.float16 else dtype
        return materialise(self.text_plan, device, _encoder_dtype(device, safe))

    def load_clip(self, device: torch.device, dtype: torch.dtype) -> ClipVision:
        """Load the vision tower, which is not needed once the picture is encoded."""
        return materialise(self.clip_plan, device, _encoder_dtype(device, dtype))

    def load_audio_encoder(self, device: torch.device, dtype: torch.dtype) -> AudioEncoder:
        """Load the audio encoder."""
        return materialise(self.audio_plan, device, _encoder_dtype(device, dtype))


def open_avatar(model: str | Path, attention: Attention = sdpa) -> AvatarCheckpoint:
    """Find and check all files of a model; no weights are read.

    Files are there and whole, shards complete, every tensor known, none missing and none of
    another shape.

    Args:
        model: ``"tiny"``, or a folder in the authors' or the repackaged layout.
        attention: Kernel of the transformer.

    Raises:
        WeightsError: If a file is missing, damaged, unsafe, or belongs to another model.
    """
    return open_checkpoint(find_model_files(resolve_model(model)), attention)


def open_checkpoint(files: ModelFiles, attention: Attention = sdpa) -> AvatarCheckpoint:
    """Check the files of a model that were found already; see :func:`open_avatar`."""
    paths = {
        "dit": files.dit,
        "vae": (files.vae,),
        "text": (files.text,),
        "clip": (files.clip,),
        "audio": (files.audio,),
    }
    opened = {part: tuple(map(open_tensor_file, where)) for part, where in paths.items()}
    try:
        config = avatar_config(files, opened)
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise WeightsError(
            f"{files.root}: flashtalk.json or config.json is missing or holds a wrong value "
            f"({error}); download it again"
        ) from error
    clip_map = clip_keys(config.clip.num_layers)
    return AvatarCheckpoint(
        files=files,
        config=config,
        tokenizer=_load_tokenizer(files, opened["text"][0], config),
        dit_plan=plan_component(partial(AvatarDiT, config.dit, attention), opened["dit"], DIT_KEYS),
        vae_plan=plan_component(partial(VideoVAE, config.vae), opened["vae"], VAE_KEYS),
        text_plan=plan_component(partial(TextEncoder, config.text), opened["text"], TEXT_KEYS),
        clip_plan=plan_component(partial(ClipVision, config.clip), opened["clip"], clip_map),
        audio_plan=plan_component(partial(AudioEncoder, config.audio), opened["audio"], AUDIO_KEYS),
    )


def load_avatar(
    model: str | Path, device: torch.device | str, dtype: torch.dtype = torch.float32
) -> AvatarModels:
    """Load every component of a model.

    Args:
        model: ``"tiny"``, or a folder in the authors' or the repackaged layout.
        device: Where all of them go.
        dtype: Of the weights; the encoders stay in float32 on a CPU.

    Raises:
        WeightsError: See :func:`open_avatar`; raised before any weight is read.
    """
    checkpoint = open_avatar(model)
    device = torch.device(device)
    return AvatarModels(
        config=checkpoint.config,
        dit=checkpoint.load_dit(device, dtype),
        vae=checkpoint.load_vae(device, dtype),
        text_encoder=checkpoint.load_text_encoder(device, dtype),
        tokenizer=checkpoint.tokenizer,
        clip=checkpoint.load_clip(device, dtype),
        audio_encoder=checkpoint.load_audio_encoder(device, dtype),
    )


def _encoder_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if device.type == "cpu" else dtype


def _load_tokenizer(files: ModelFiles, text: TensorFile, config: AvatarConfig) -> Tokenizer:
    """Read the tokenizer's own file, or the one inside the text encoder's."""
    if files.tokenizer is not None:
        tokenizer = Tokenizer.from_file(files.tokenizer)
    elif TOKENIZER_TENSOR in text.infos:
        with text.reading() as read:
            tokenizer = Tokenizer.from_tensor(read(TOKENIZER_TENSOR), str(text.path))
    else:
        raise missing_part(files.root, "tokenizer")
    if tokenizer.vocab_size > config.text.vocab_size:
        raise WeightsError(
            f"{files.tokenizer or text.path}: {tokenizer.vocab_size} pieces, but the text encoder "
            f"knows {config.text.vocab_size}; take the tokenizer of the same model"
        )
    return tokenizer
