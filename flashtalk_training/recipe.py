"""The recipe of the bundled tiny model: its sizes and how each part is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from flashtalk_core.config.avatar import AvatarConfig
from flashtalk_core.config.networks import (
    AudioEncoderConfig,
    ClipVisionConfig,
    DiTConfig,
    TextEncoderConfig,
    VAEConfig,
)
from flashtalk_core.config.sampling import SamplingConfig, StepRule
from flashtalk_core.errors import require

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TINY_SIZE_PX = (128, 128)
_LIVE_LENGTHS = (33, 21, 17)
"""Frames of the chunks of live sessions, motion frames included."""


_SHARES = ("damaged_motion_share", "live_share", "fresh_share", "final_rate_share", "ema_decay")


def _require_share(name: str, share: float) -> None:
    require(0 <= share <= 1, f"{name} {share} is no share; use a number from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class OptimiserRecipe:
    """AdamW with a linear warm-up and a cosine fall over the time budget."""

    learning_rate: float
    warmup_steps: int
    ema_decay: float
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    report_every: int = 200
    """Steps between reports."""
    save_every: int = 10
    """Reports between saved states; one more is saved at the end of each part."""


_VAE_OPTIMISER = OptimiserRecipe(
    learning_rate=2e-3,
    warmup_steps=100,
    ema_decay=0.999,
    betas=(0.9, 0.95),
    weight_decay=0.0,
    report_every=250,
)
_AUDIO_OPTIMISER = OptimiserRecipe(learning_rate=1e-3, warmup_steps=200, ema_decay=0.999)
_DIT_OPTIMISER = OptimiserRecipe(learning_rate=1e-3, warmup_steps=300, ema_decay=0.9995)


def with_light_decoder(config: VAEConfig) -> VAEConfig:
    """Return the tiny autoencoder with a small decoder in its own one's place."""
    return replace(config, light_widths=(64, 48, 32, 32), light_patch=2)


def tiny_config() -> AvatarConfig:
    """Return the architecture of the tiny model; latent statistics are measured in training.

    Everything is trained with the autoencoder's own decoder, which the small one replaces last.
    """
    audio = AudioEncoderConfig(
        hidden_size=64,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        conv_dim=(32, 48, 64, 64, 64, 64, 64),
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=8,
    )
    text = TextEncoderConfig(
        vocab_size=256, dim=64, dim_attn=64, dim_ffn=128, num_heads=4, num_layers=2
    )
    clip = ClipVisionConfig(dim=64, mlp_ratio=2.0, num_heads=4, num_layers=3)
    dit = DiTConfig(
        dim=176,
        ffn_dim=384,
        freq_dim=64,
        text_dim=text.dim,
        text_len=32,
        num_heads=11,
        num_layers=6,
        audio_blocks=audio.num_hidden_layers,
        audio_channels=audio.hidden_size,
        audio_intermediate_dim=96,
        audio_output_dim=64,
        audio_context_tokens=8,
        clip_dim=clip.dim,
    )
    return AvatarConfig(
        dit=dit,
        vae=VAEConfig(dim=16, num_res_blocks=1),
        text=text,
        clip=clip,
        audio=audio,
        sampling=SamplingConfig(rule="euler"),
        size_px=TINY_SIZE_PX,
        known_sizes_px=(TINY_SIZE_PX,),
        name="FlashTalk-tiny",
    )


@dataclass(frozen=True, kw_only=True)
class PictureRecipe:
    """How decoded clips are compared with drawn ones."""

    edge_weight: float = 0.5
    """Weight of the error of neighbouring pixels' differences: sharp edges."""
    first_frame_weight: float = 3.0
    """Weight of a clip's first frame, which the network processes separately."""
    mouth_weight: float = 4.0
    """Weight of the region in which mouths are."""
    opening_weight: float = 0.1
    """Weight of the error of the mouth's measured opening."""


@dataclass(frozen=True, kw_only=True)
class VAERecipe(PictureRecipe):
    """Training of the video autoencoder."""

    image_share: float = 0.2
    """Share of the time spent on single images, which are cheap, before clips."""
    image_batch: int = 96
    clip_batch: int = 8
    optimiser: OptimiserRecipe = _VAE_OPTIMISER
    kl_weight: float = 1e-4
    num_statistics_clips: int = 128
    """Clips over which mean and deviation of the latents are taken."""


@dataclass(frozen=True, kw_only=True)
class DecoderRecipe(PictureRecipe):
    """Training of the small decoder that takes the place of the autoencoder's."""

    clip_batch: int = 16
    optimiser: OptimiserRecipe = _VAE_OPTIMISER
    latent_noise: float = 0.05
    """Deviation of what is added to latents, since those of the transformer are not exact."""
    latent_weight: float = 0.1
    """Weight of the difference that a chunk's last frames make to the next one's motion latents."""


@dataclass(frozen=True, kw_only=True)
class AudioRecipe:
    """Training of the wav2vec2 encoder on phoneme classes and mouth tracks."""

    batch: int = 64
    margin_frames: int = 18
    """Frames more on either side of a window, so that it can be played up to 18 % faster."""
    optimiser: OptimiserRecipe = _AUDIO_OPTIMISER


@dataclass(frozen=True, kw_only=True)
class DiTRecipe:
    """Stage 1: flow matching on latents of drawn clips."""

    num_clips: int = 6144
    """Clips kept on the GPU; replaced in turn by fresh ones."""
    num_held_out_clips: int = 256
    """Clips of held-out voices, on which the loss is measured."""
    clips_per_face: int = 4
    refresh_every: int = 200
    """Steps between refreshes."""
    refresh_clips: int = 512
    batch: int = 64
    optimiser: OptimiserRecipe = _DIT_OPTIMISER
    train_shift: float = 5.0
    single_motion_share: float = 0.3
    """Share of samples with one clean motion latent instead of two."""
    damaged_motion_share: float = 0.5
    """Share of samples whose clean motion latents come from damaged frames."""
    drop_all: float = 0.05
    """Share of samples without audio and prompt."""
    drop_text: float = 0.05
    """Share of samples without prompt."""
    mouth_weight: float = 3.0
    """Weight of the latent cells in which mouths are."""
    eye_weight: float = 1.0
    """Weight of those in which eyes are."""
    coded_movement: bool = False
    """Whether sway and blinks are coded in the noise (``stage_1/movement_codes.py``)."""
    chunk_lengths: tuple[int, ...] = ()
    """Frames of a chunk, motion frames included, of which one is drawn for each step; empty for
    the model's own alone."""
    live_share: float = 0.0
    """Share of samples that hear nothing after their chunk, as in a live session."""

    def __post_init__(self) -> None:
        _require_share("live_share", self.live_share)


@dataclass(frozen=True, kw_only=True)
class DistillRecipe:
    """Stage 2: distillation into few steps without guidance, by roll-outs.

    Source: arXiv 2512.23379 for what is random, for the scales and for how often the student
    is trained. The defaults are the paper's method alone; :class:`TinyRecipe` adds to it.

    Raises:
        InvalidInputError: If steps or rule are impossible, a share is not from 0 to 1, a step takes
            more sessions than last, or what needs a second chunk has none.
    """

    num_steps: int = 1000
    """Steps of the critic; the student is trained in every ``student_every``-th."""
    batch: int = 16
    num_faces: int = 256
    max_chunks: int = 5
    """Longest roll-out, K_max."""
    steps: int = 4
    """Denoising steps of the student."""
    shift: float = 5.0
    rule: StepRule = "euler"
    text_scale: float = 3.0
    """Guidance of the teacher by the prompt."""
    audio_scale: float = 4.0
    """Guidance of the teacher by the audio."""
    align_motion: bool = True
    """Whether the student's prediction of the motion latents follows the teacher's."""
    causal: bool = False
    """Whether the student attends to earlier latent frames only; teacher and critic do not."""
    coded_movement: bool = False
    """Whether teacher and critic judge with the movement codes of the noise that the student began
    with. Of use after a Stage 1 with codes."""
    phased: bool = False
    """Whether a step is judged by where it ends instead of by the data that it predicts
    (``stage_2/phases.py``). Needs the rule ``euler``."""
    noised_teacher_motion: bool = False
    """Whether the teacher is shown motion latents as noisy as the rest, instead of clean ones."""
    damaged_motion_share: float = 0.0
    """Share of sessions in which the student goes on from damaged frames; teacher and critic see
    the good ones."""
    mouth_weight: float = 0.0
    """Weight of the error of the mouth's measured opening against the true track."""
    border_weight: float = 0.0
    """Weight of the distance of background and hair from the portrait's colours, averaged over a
    chunk's time, in coarse images as they would be shown."""
    head_weight: float = 0.0
    """Weight of the same of the head above the mouth, wherever it is."""
    decoded_batch: int = 6
    """Sessions that are decoded for mouth, border and head."""
    anchor_weight: float = 0.0
    """Weight of the distance of a chunk's mean over time from the portrait, in latents."""
    anchor_inner: float = 0.0
    """Weight of face and clothes in it, relative to background and hair; the mouth has none."""
    anchor_static: bool = False
    """Whether it holds cell by cell only what stays where it is, whatever the head does. Of the
    rest it then holds the mean over cells, by ``anchor_inner``. Without this it stops the head."""
    lasting_sessions: int = 0
    """Size of the session replay buffer: sessions continued in later steps instead of starting from
    the portrait; 0 for none. They reach the drift of hundreds of chunks. Needs ``max_chunks`` of 2
    at least."""
    chunk_lengths: tuple[int, ...] = ()
    """Frames of a chunk, motion frames included, of which one is drawn for each step; empty for
    the model's own alone."""
    live_share: float = 0.0
    """Share of steps whose sessions hear nothing after each chunk, as live ones do."""
    fresh_share: float = 0.05
    """Share of steps whose sessions start from the portrait and replace the oldest lasting ones."""
    student_every: int = 3
    student_rate: float = 1e-4
    critic_rate: float = 3e-4
    final_rate_share: float = 1.0
    """What is left of both rates at the last step; they fall in a straight line."""
    max_gradient_norm: float = 10.0
    ema_decay: float = 0.98
    report_every: int = 10
    save_every: int = 50

    def __post_init__(self) -> None:
        SamplingConfig(steps=self.steps, rule=self.rule)  # refuses what is impossible
        for name in _SHARES:
            _require_share(name, getattr(self, name))
        require(
            self.rule == "euler" or not self.phased,
            f"phased with rule {self.rule!r}: a phase ends where a step of Euler's does; use "
            "'euler', or set phased to false",
        )
        require(
            not (self.causal and self.chunk_lengths),
            f"chunk_lengths {list(self.chunk_lengths)}: a causal student has one length; leave "
            "them out, or set causal to false",
        )
        count = self.lasting_sessions
        require(
            count == 0 or (count >= self.batch and self.max_chunks > 1),
            f"lasting_sessions {count}: needs at least the batch of {self.batch}, and max_chunks "
            "of at least 2; raise them, or set it to 0",
        )
        require(
            self.damaged_motion_share == 0 or self.max_chunks > 1,
            f"damaged_motion_share {self.damaged_motion_share}: needs max_chunks of at least 2, "
            "since no first chunk is damaged; raise it, or set the share to 0",
        )

    def with_max_chunks(self, max_chunks: int) -> DistillRecipe:
        """Return the recipe with another longest roll-out.

        Sessions without a second chunk can neither be gone on with nor damaged.
        """
        if max_chunks > 1:
            return replace(self, max_chunks=max_chunks)
        return replace(self, max_chunks=max_chunks, lasting_sessions=0, damaged_motion_share=0.0)


_DISTILL = DistillRecipe(
    num_steps=200,
    batch=8,
    text_scale=1.0,
    audio_scale=1.0,
    damaged_motion_share=0.9,
    mouth_weight=30.0,
    border_weight=2.0,
    head_weight=0.3,
    decoded_batch=8,
    anchor_weight=80.0,
    anchor_static=True,
    lasting_sessions=64,
    student_every=1,
    student_rate=2e-4,
    critic_rate=6e-4,
    final_rate_share=0.1,
    ema_decay=0.95,
)
"""The one of ``docs/training/experiment.toml``, whose students differ by the settings there."""


@dataclass(frozen=True, kw_only=True)
class TinyRecipe:
    """Everything a model is trained with; the defaults are those of :func:`tiny_config`."""

    budgets_s: dict[str, float] = field(
        default_factory=lambda: {"vae": 740.0, "audio": 240.0, "decoder": 330.0, "dit": 585.0}
    )
    """Training time of each stage on one H200; another device needs its own."""
    vae: VAERecipe = field(default_factory=VAERecipe)
    audio: AudioRecipe = field(default_factory=AudioRecipe)
    decoder: DecoderRecipe = field(default_factory=DecoderRecipe)
    dit: DiTRecipe = field(default_factory=DiTRecipe)
    distill: DistillRecipe = _DISTILL

    def with_live_chunks(self) -> TinyRecipe:
        """Return the recipe that also trains on the chunks of live sessions."""
        live: dict[str, Any] = {"chunk_lengths": _LIVE_LENGTHS, "live_share": 0.5}
        return replace(self, dit=replace(self.dit, **live), distill=replace(self.distill, **live))

    def with_coded_movement(self) -> TinyRecipe:
        """Return the recipe whose heads sway and eyes blink as the noise says."""
        return replace(
            self,
            dit=replace(self.dit, coded_movement=True, eye_weight=3.0),
            distill=replace(self.distill, coded_movement=True, head_weight=0.1),
        )


def changed_settings(settings: DataclassInstance) -> dict[str, Any]:
    """Return what differs from the defaults, so that a new setting changes nothing of the old."""
    defaults = {field.name: field.default for field in fields(settings)}
    return {name: value for name, value in asdict(settings).items() if value != defaults[name]}
