"""Golden folders of other sizes, written with this project's own code."""

import json
from dataclasses import dataclass

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.config.networks import (
    AudioEncoderConfig,
    ClipVisionConfig,
    DiTConfig,
    TextEncoderConfig,
    VAEConfig,
)
from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.engine.chunk import ChunkModel, generate_chunk
from flashtalk_core.engine.reference import prepare_reference
from flashtalk_core.engine.state import SessionState
from flashtalk_core.media.audio.loudness import LoudnessMeter, loudness_gain
from flashtalk_core.media.audio.windows import window_features
from flashtalk_core.media.image.colour import ColourReference, match_colours
from flashtalk_core.media.image.portrait import fit_image
from flashtalk_core.media.pixels import to_model_range
from flashtalk_core.models.encoders.audio import AudioEncoder
from flashtalk_core.models.encoders.clip_vision import ClipVision
from flashtalk_core.models.encoders.text import TextEncoder
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.sampling.schedule import noise_levels
from flashtalk_core.settings import from_settings
from flashtalk_core.weights.mapping.key_maps import published_clip_name, published_text_name


@dataclass(frozen=True)
class Sizes:
    """Sizes of a made-up folder; none is that of the recorded one."""

    dit: dict
    vae: dict
    text: dict
    clip: dict
    audio: dict
    chunk: ChunkConfig
    sampling: SamplingConfig
    num_chunks: int
    size_px: tuple[int, int]
    text_tokens: int
    speech_frames: int


SHORT = Sizes(
    dit={
        "dim": 60, "num_heads": 3, "num_layers": 2, "ffn_dim": 70, "freq_dim": 22, "text_dim": 18,
        "text_len": 8, "audio_window": 5, "audio_blocks": 2, "audio_channels": 16, "clip_dim": 20,
        "audio_intermediate_dim": 12, "audio_output_dim": 14, "audio_context_tokens": 4,
        "clip_tokens": 5, "norm_output_audio": False,
    },
    vae={
        "dim": 4, "dim_mult": [1, 2, 2], "num_res_blocks": 1, "temperal_downsample": [True, True],
    },
    text={"vocab": 31, "dim": 18, "dim_attn": 20, "dim_ffn": 22, "num_heads": 2, "num_layers": 1,
          "num_buckets": 16},
    clip={"image_size": 28, "patch_size": 14, "dim": 20, "num_heads": 2, "num_layers": 4},
    audio={
        "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2,
        "num_attention_heads": 2, "conv_dim": [8] * 7, "conv_bias": True,
        "feat_extract_norm": "layer", "do_stable_layer_norm": True, "do_normalize": False,
        "num_conv_pos_embeddings": 6, "num_conv_pos_embedding_groups": 2, "frames": 17,
    },
    chunk=ChunkConfig(num_frames=17, num_motion_frames=9),
    sampling=SamplingConfig(steps=2, shift=3.0, colour_strength=0.7),
    num_chunks=2,
    size_px=(32, 24),
    text_tokens=3,
    speech_frames=40,
)  # fmt: skip
LONG = Sizes(
    dit=SHORT.dit | {"dim": 24, "num_heads": 2, "text_len": 30, "norm_output_audio": True},
    vae={"dim": 6, "dim_mult": [1, 1, 2, 2], "num_res_blocks": 1,
         "temperal_downsample": [True, False, True]},
    text=SHORT.text | {"num_layers": 3},
    clip=SHORT.clip | {"num_layers": 2},
    audio=SHORT.audio | {"feat_extract_norm": "group", "do_stable_layer_norm": False,
                         "conv_bias": False, "do_normalize": True},
    chunk=ChunkConfig(num_frames=41, num_motion_frames=1),
    sampling=SamplingConfig(steps=3, shift=5.0, colour_strength=0.0),
    num_chunks=1,
    size_px=(48, 64),
    text_tokens=17,
    speech_frames=60,
)  # fmt: skip


class Maker:
    """Writes a complete folder of golden files with this project's own code."""

    def __init__(self, folder, sizes):
        torch.manual_seed(0)
        self.folder, self.sizes = folder, sizes
        renamed = {"temporal_downsample": sizes.vae["temperal_downsample"]}
        self.dit = AvatarDiT(from_settings(DiTConfig, sizes.dit)).eval()
        self.vae = VideoVAE(from_settings(VAEConfig, sizes.vae | renamed)).eval()
        self.clip = ClipVision(from_settings(ClipVisionConfig, sizes.clip)).eval()
        stride = self.vae.config.spatial_stride
        self.grid = (sizes.size_px[0] // stride, sizes.size_px[1] // stride)
        self.num_latents = (sizes.chunk.num_frames - 1) // 4 + 1
        self.rgb = torch.randint(0, 256, (50, 70, 3), dtype=torch.uint8)

    def write(self, name, config, tensors, weights=None):
        weights = {f"weights.{k}": v for k, v in (weights or {}).items()}
        tensors = {k: v.contiguous() for k, v in (tensors | weights).items()}
        path = self.folder / f"{name}.safetensors"
        save_file(tensors, path, {"config": json.dumps(config)})

    @torch.no_grad()
    def write_all(self):
        self.write_dit()
        self.write_vae()
        self.write_encoders()
        self.write_media()
        self.write_pipeline()

    def windows(self, num_tracks=1):
        c, frames = self.sizes.dit, self.sizes.chunk.num_frames
        return torch.randn(num_tracks, frames, 5, c["audio_blocks"], c["audio_channels"])

    def text(self):
        return torch.randn(self.sizes.text_tokens, self.sizes.dit["text_dim"])

    def write_dit(self):
        config = self.sizes.dit | {"frames": self.sizes.chunk.num_frames}
        for name, tracks in (("dit", 1), ("dit_two_speakers", 2)):
            inputs = {
                "in.latent": torch.randn(16, self.num_latents, *self.grid),
                "in.condition": torch.randn(1, 20, self.num_latents, *self.grid),
                "in.text": self.text(),
                "in.clip": torch.randn(1, 5, self.sizes.dit["clip_dim"]),
                "in.audio": self.windows(tracks),
                "in.timestep": torch.tensor([625.0]),
            }
            masks = None
            if tracks == 2:
                masks = torch.zeros(3, *self.sizes.size_px)
                masks[0, :, :8], masks[1, :, 16:], masks[2, :, 8:16] = 1, 1, 1
                inputs["in.ref_target_masks"] = masks
            session = self.dit.project_session(
                inputs["in.condition"], inputs["in.text"][None], inputs["in.clip"]
            )
            audio = self.dit.project_audio(inputs["in.audio"], masks=masks)
            velocity = self.dit(inputs["in.latent"][None], inputs["in.timestep"], session, audio)
            weights = self.dit.state_dict() if tracks == 1 else {}
            self.write(name, config, inputs | {"out.velocity": velocity}, weights)

    def write_vae(self):
        latent = torch.randn(1, 16, self.num_latents, *self.grid)
        frames = self.sizes.chunk.num_frames
        video = torch.rand(1, 3, 9, *self.sizes.size_px) * 2 - 1
        padded = torch.zeros(1, 3, frames, *self.sizes.size_px)
        padded[:, :, 0] = video[:, :, 0]
        tensors = {
            "in.latent": latent,
            "in.video9": video,
            "in.video_padded": padded,
            "out.video": torch.cat(list(self.vae.decode_groups(latent)), dim=2),
            "out.latent1": self.vae.encode(video[:, :, :1])[0],
            "out.latent9": self.vae.encode(video)[0],
            "out.latent_padded": self.vae.encode(padded)[0],
        }
        self.write("vae", self.sizes.vae, tensors, self.vae.state_dict())

    def write_encoders(self):
        vocab = self.sizes.text["vocab"]
        sizes = from_settings(TextEncoderConfig, self.sizes.text | {"vocab_size": vocab})
        text = TextEncoder(sizes)
        ids, mask = torch.randint(1, vocab, (1, 12)), torch.ones(1, 12, dtype=torch.int64)
        ids[:, 7:], mask[:, 7:] = 0, 0
        context = text.eval()(ids, mask)[:, :7]
        self.write(
            "umt5",
            self.sizes.text,
            {"in.ids": ids, "in.mask": mask, "out.context": context},
            {published_text_name(k): v for k, v in text.state_dict().items()},
        )
        image = torch.rand(1, 3, 1, 30, 44) * 2 - 1
        tensors = {"in.image": image, "out.tokens": self.clip(image[:, :, 0])}
        weights = {published_clip_name(k): v for k, v in self.clip.state_dict().items()}
        self.write("clip", self.sizes.clip, tensors, weights)
        self.write_audio()

    def write_audio(self):
        encoder = AudioEncoder(from_settings(AudioEncoderConfig, self.sizes.audio)).eval()
        num_frames = self.sizes.speech_frames
        speech = torch.randn(num_frames * 640) * torch.linspace(0.05, 0.3, num_frames * 640)
        meter = LoudnessMeter(16_000)
        meter.update(speech.numpy())
        whole = encoder(speech[None], num_frames)[0]
        part = encoder(speech[None, : 25 * 640], 25)[0]
        start = num_frames - self.sizes.audio["frames"]
        tensors = {
            "in.speech8s": speech,
            "out.loudness_normalised": speech.double() * loudness_gain(meter.integrated_lufs()),
            "out.embedding8s": whole,
            "out.embedding3s": part,
            "out.window_stream": window_features(whole, start, num_frames)[None],
            "out.window_once": window_features(part, 0, 25)[None],
        }
        self.write("wav2vec2", self.sizes.audio, tensors, encoder.state_dict())

    def fitted(self, size_px):
        return fit_image(Image.fromarray(self.rgb.numpy()), size_px)

    def write_media(self):
        video = torch.rand(1, 3, 3, 20, 28) * 2 - 1
        image = torch.rand(1, 3, 1, 36, 12) * 2 - 1
        reference = ColourReference.from_image(image[0, :, 0])
        matched = match_colours(video[0], reference, 0.7)[None]
        tensors = {"in.video": video, "in.reference": image, "out.strength0.7": matched}
        self.write("colour", {}, tensors)
        fitted = self.fitted((64, 40))[None, :, None]
        self.write("image", {}, {"in.rgb": self.rgb, "out.resized_cropped": fitted})

    def write_pipeline(self):
        chunk, sampling = self.sizes.chunk, self.sizes.sampling
        image, text = to_model_range(self.fitted(self.sizes.size_px)), self.text()
        tokens = self.clip(image[None])
        reference = prepare_reference(
            dit=self.dit,
            vae=self.vae,
            clip_tokens=tokens,
            image=image,
            context=text,
            chunk=chunk,
        )
        tensors = {
            "in.rgb": self.rgb,
            "in.text": text,
            "prepared.clip": tokens,
            "prepared.condition": reference.session.condition,
            "prepared.motion_latent": reference.motion_latent[0],
            "prepared.timesteps": 1000 * noise_levels(sampling.steps, sampling.shift),
        }
        model, state = ChunkModel.resident(self.dit, self.vae, chunk), SessionState()
        for k in range(self.sizes.num_chunks):
            audio = self.windows()
            noise = torch.randn(sampling.steps + 1, 16, self.num_latents, *self.grid)
            draws = iter(noise.clone())
            groups = list(generate_chunk(
                model, reference, audio, state, sampling,
                draw_noise=lambda shape, device, dtype, draws=draws: next(draws)[None],
            ))  # fmt: skip
            state = groups[-1].state
            tensors |= {
                f"chunk{k}.audio": audio,
                f"chunk{k}.noise_init": noise[0].clone(),
                f"chunk{k}.noise_steps": noise[1:].clone(),
                f"chunk{k}.frames": torch.cat([group.frames for group in groups], dim=1),
                f"chunk{k}.motion_latent_next": self.vae.encode(state.motion_frames)[0],
            }
        config = {
            "dit": "dit.safetensors",
            "vae": "vae.safetensors",
            "clip": "clip.safetensors",
            "frames": chunk.num_frames,
            "motion_frames": chunk.num_motion_frames,
            "steps": sampling.steps,
            "shift": sampling.shift,
            "color_correction_strength": sampling.colour_strength,
        }
        self.write("pipeline", config, tensors)


@pytest.fixture(scope="session")
def write_golden():
    """Write a folder of short or of long chunks."""
    sizes = {"short": SHORT, "long": LONG}
    return lambda folder, kind: Maker(folder, sizes[kind]).write_all()
