"""Which weights, where they run, and in which dtype."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..flashtalk_core.acceleration.attention_kernels import BUILT_IN, KERNELS
from ..flashtalk_core.acceleration.kernel_options import SPEEDS
from ..flashtalk_core.config.phase_limits import read_limits
from ..flashtalk_core.errors import FlashTalkError
from ..flashtalk_core.log import printable_log
from ..flashtalk_core.placement.devices import parse_devices
from ..flashtalk_core.placement.memory_plan import MODES, MemoryChoice
from .graph.errors import attribute_errors
from .graph.model_report import refuse_files, require_files
from .host.devices import DEVICES, DTYPES
from .host.model_files import (
    AUDIO_LAYERS,
    AUTO,
    INPUT_OF,
    NONE,
    TINY,
    audio_layers_menu,
    find_files,
    lora_menu,
    part_menu,
    transformer_menu,
)
from .search_words import TALKING_VIDEO
from .sockets import CATEGORY, ModelSocket

if TYPE_CHECKING:
    from ..flashtalk_core.engine.resolve import Backend
    from ..flashtalk_core.engine.spec import ModelSpec, PlacementSpec
    from ..flashtalk_core.weights.lora.merge import LoraFile
    from .host.fleet import ManagedFleet

_log = printable_log(logging.getLogger(__name__))

ATTENTION = ("auto", *BUILT_IN, *(kernel.name for kernel in KERNELS))


class ModelLoader(io.ComfyNode):
    """Describe a model; its weights are read when the first chunk needs them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FlashTalk_ModelLoader",
            display_name="FlashTalk Model Loader",
            category=CATEGORY,
            description=(
                "Choose the avatar model. The tiny one is bundled: a toy that knows drawn faces "
                "only, to learn and test with. For real photos choose SoulX-FlashTalk 14B."
            ),
            search_aliases=[*TALKING_VIDEO, "SoulX", "avatar model", "load avatar"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=transformer_menu(),
                    default=TINY,
                    tooltip=(
                        "Diffusion transformer: the bundled tiny one, a file, or a folder of "
                        "shards in models/diffusion_models or models/flashtalk. 'auto' takes the "
                        "first file or folder called *flashtalk* there."
                    ),
                ),
                io.Combo.Input(
                    "vae",
                    options=part_menu("vae"),
                    default=AUTO,
                    tooltip="Wan 2.1 VAE, as other Wan workflows use it. 'auto' finds the "
                    "usual names.",
                ),
                io.Combo.Input(
                    "text_encoder",
                    options=part_menu("text", can_be_none=True),
                    default=AUTO,
                    tooltip="umT5-XXL, fp8 too. 'none' if FlashTalk Reference gets CONDITIONING.",
                ),
                io.Combo.Input(
                    "clip_vision",
                    options=part_menu("clip", can_be_none=True),
                    default=AUTO,
                    tooltip="CLIP ViT-H (clip_vision_h). 'none' if FlashTalk Reference gets "
                    "CLIP_VISION_OUTPUT.",
                ),
                io.Combo.Input(
                    "audio_encoder",
                    options=part_menu("audio"),
                    default=AUTO,
                    tooltip="chinese-wav2vec2-base.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=list(DTYPES),
                    default="auto",
                    tooltip="Dtype of the weights. 'auto' is bfloat16 on GPUs that are fast in "
                    "it, float32 on a CPU.",
                ),
                io.Combo.Input(
                    "attention",
                    options=list(ATTENTION),
                    default="auto",
                    advanced=True,
                    tooltip="Attention kernel. 'auto' takes FlashAttention where it is "
                    "installed, else PyTorch's own ('sdpa', on Hopper GPUs 'sdpa-cudnn'); 'sage' "
                    "and 'flash-attn-3-fp8' are 8-bit and change the image a little.",
                ),
                io.Combo.Input(
                    "device",
                    options=list(DEVICES),
                    default="auto",
                    advanced=True,
                    tooltip="Where the model runs. 'auto' is the device ComfyUI works on.",
                ),
                io.Combo.Input(
                    "speed",
                    options=list(SPEEDS),
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="Execution mode of the model. 'fused' is the fastest and takes "
                    "seconds to build once; 'compiled' takes half a minute at every new size; "
                    "'auto' is 'fused' on a GPU with Triton, else 'plain' (eager). The image is "
                    "the same up to rounding.",
                ),
                io.Boolean.Input(
                    "float8",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Large layers of the transformer in FP8: nearly a third less time "
                    "and memory, on GPUs from RTX 40 and H100 on. Changes the image a little.",
                ),
                io.Combo.Input(
                    "memory",
                    options=list(MODES),
                    default="auto",
                    optional=True,
                    advanced=True,
                    tooltip="What stays on the GPU. 'auto' takes FP8 weights on a card too small "
                    "for all blocks, and keeps as many blocks there as fit; others come from "
                    "main memory while these compute.",
                ),
                io.Combo.Input(
                    "lora",
                    options=lora_menu(),
                    default=NONE,
                    optional=True,
                    tooltip="LoRA for Wan 2.1 14B from models/loras, added to the weights when "
                    "they are read.",
                ),
                io.Float.Input(
                    "lora_strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    optional=True,
                    tooltip="How much of the LoRA is added: 1 as trained.",
                ),
                io.String.Input(
                    "devices",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Several NVIDIA GPUs that render together, such as 0,1,2,3, a process "
                    "for each (Linux). Empty: 'device' alone.",
                ),
                io.String.Input(
                    "cluster",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Ray cluster whose hosts render, on such a device or so many of one "
                    "of them: host:port of its head, or 'auto'. Empty: this host.",
                ),
                io.Combo.Input(
                    AUDIO_LAYERS,
                    options=audio_layers_menu(),
                    default=AUTO,
                    optional=True,
                    tooltip="InfiniteTalk's audio layers, for a Wan 2.1 I2V transformer without "
                    "any. 'auto' finds them where they are needed; 'none' takes no other file.",
                ),
                io.String.Input(
                    "limits",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="With several GPUs or a cluster: seconds without progress after which "
                    "a render ends, such as load=1800, step=120. Phases are start (120), load "
                    "(900), step and stop (5). Empty: the usual ones.",
                ),
            ],
            outputs=[ModelSocket.Output(display_name="model")],
        )

    @classmethod
    def validate_inputs(
        cls,
        model: str | None = None,
        vae: str | None = None,
        text_encoder: str | None = None,
        clip_vision: str | None = None,
        audio_encoder: str | None = None,
        audio_layers: str | None = AUTO,
    ) -> bool | str:
        """Refuse a prompt before anything runs; ComfyUI leaves what is named here to us."""
        choices = {
            "model": model,
            "vae": vae,
            "text_encoder": text_encoder,
            "clip_vision": clip_vision,
            "audio_encoder": audio_encoder,
            AUDIO_LAYERS: audio_layers,
        }
        return refuse_files(choices) or True

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        from ..flashtalk_core.engine.resolve import find_loras
        from .host.render_host import ComfyHost

        if None in inputs.values():
            return "linked"  # what comes over a link is not known yet
        try:
            parts = {
                name: inputs[name] for name in (*INPUT_OF.values(), AUDIO_LAYERS) if name in inputs
            }
            spec = model_spec(parts, inputs.get("lora", NONE), 1.0)
            loras = find_loras(spec, ComfyHost())
            return "; ".join([find_files(inputs).identity, *(each.identity for each in loras)])
        except FlashTalkError as error:
            return str(error)  # execute raises it; ComfyUI would log it here as well

    @classmethod
    def execute(
        cls,
        dtype: str,
        attention: str,
        device: str,
        speed: str = "auto",
        float8: bool = False,
        memory: str = "auto",
        lora: str = NONE,
        lora_strength: float = 1.0,
        devices: str = "",
        cluster: str = "",
        limits: str = "",
        **parts: str,
    ) -> io.NodeOutput:
        from .graph.descriptions import describe_model

        spec = model_spec(parts, lora, lora_strength)
        with attribute_errors(cls, "device"):
            loras, placement, backend = _place(
                spec, MemoryChoice.parse(memory, float8=float8),
                device=device, devices=parse_devices(devices), cluster=cluster.strip(),
                dtype=dtype, attention=attention, speed=speed,
            )  # fmt: skip
        require_files(cls, parts)
        with attribute_errors(cls, "model"):
            files = find_files(parts)
            fleet = _fleet(placement, backend, limits)
            return io.NodeOutput(describe_model(spec, placement, files, loras, backend, fleet))


def _place(
    spec: ModelSpec, memory: MemoryChoice, **settings: Any
) -> tuple[tuple[LoraFile, ...], PlacementSpec, Backend]:
    """Return LoRA files, placement and execution mode, checked on this machine."""
    from ..flashtalk_core.engine.resolve import find_backend, find_loras
    from ..flashtalk_core.engine.spec import PlacementSpec
    from .host.render_host import ComfyHost

    host, placement = ComfyHost(), PlacementSpec(memory=memory, **settings)
    host.find_device(placement.device)
    return find_loras(spec, host), placement, find_backend(placement, host)


def _fleet(placement: PlacementSpec, backend: Backend, limits: str) -> ManagedFleet | None:
    """Return what renders on several devices or other hosts; nothing is started."""
    given = read_limits(limits)
    if placement.cluster:
        from ..flashtalk_core.runtime.cluster.process import LIMITS, cluster_engine
        from .host.fleet import ManagedFleet

        own = replace(LIMITS, **given)
        devices = placement.devices or (str(backend.device),)
        return ManagedFleet(cluster_engine(placement.cluster, devices, own), is_here=False)
    if len(placement.devices) < 2:
        if given:
            _log.warning("limits %s: not used, one device renders in ComfyUI's process", limits)
        return None
    from ..flashtalk_core.runtime.fleets import fleets
    from ..flashtalk_core.runtime.limits import Limits
    from .host.fleet import ManagedFleet

    return ManagedFleet(fleets().get(placement.devices), Limits(**given))


def model_spec(parts: Mapping[str, str], lora: str, lora_strength: float) -> ModelSpec:
    """Return what was chosen in the menus; a LoRA of strength 0 is none."""
    from ..flashtalk_core.engine.spec import LoraSpec, ModelSpec
    from .host.render_host import named_model

    others = {name: choice for name, choice in parts.items() if name != "model"}
    is_none = lora == NONE or not lora_strength
    loras = () if is_none else (LoraSpec(lora, lora_strength),)
    return ModelSpec(name=named_model(parts["model"]), **others, loras=loras)
