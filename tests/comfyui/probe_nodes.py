"""Custom nodes of the tests: what no node of ComfyUI makes or shows. Loaded by ComfyUI alone."""

import gc
import sys
from importlib import import_module
from pathlib import Path

import comfy.model_management as management
import psutil
import torch

PACK = "flashtalk_core"


class TwoSounds:
    """A batch, which no native node makes."""

    CATEGORY = "test"
    FUNCTION = "run"
    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"audio": ("AUDIO",)}}

    def run(self, audio):
        waveform = torch.cat([audio["waveform"]] * 2)
        return ({"waveform": waveform, "sample_rate": audio["sample_rate"]},)


class SmallInterpolator:
    """An interpolation model of ComfyUI's own kind, RIFE, with weights that mean nothing."""

    CATEGORY = "test"
    FUNCTION = "run"
    RETURN_TYPES = ("INTERP_MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def run(self):
        from comfy.model_patcher import CoreModelPatcher
        from comfy_extras.frame_interpolation_models.ifnet import IFNet

        model = IFNet(head_ch=4, channels=(4, 4, 4, 4, 4))
        generator = torch.Generator().manual_seed(0)
        for weight in model.parameters():
            weight.data = torch.randn(weight.shape, generator=generator) * 0.05
        device = management.get_torch_device()
        return (CoreModelPatcher(model.eval(), device, management.unet_offload_device()),)


class _Probe:
    CATEGORY = "test"
    FUNCTION = "run"
    RETURN_TYPES = ()
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    @classmethod
    def IS_CHANGED(cls):
        return float("nan")


class Memory(_Probe):
    """How large the process is."""

    def run(self):
        return {"ui": {"rss": [psutil.Process().memory_info().rss]}}


class Networks(_Probe):
    """Networks of the pack: those ComfyUI manages, and all that are alive at all."""

    def run(self):
        gc.collect()
        managed = [loaded.model.model for loaded in management.current_loaded_models]
        alive = [found for found in gc.get_objects() if isinstance(found, torch.nn.Module)]
        return {"ui": {"managed": _names(managed), "alive": _names(alive)}}


class Fleets(_Probe):
    """Fleets of the pack: their devices, and whether they have processes and weights."""

    def run(self):
        gc.collect()
        kinds = ((each, type(each)) for each in gc.get_objects())
        fleets = [
            each for each, kind in kinds if kind.__name__ == "Fleet" and PACK in kind.__module__
        ]
        return {
            "ui": {
                "fleets": [
                    [", ".join(each.devices), each.is_running, each.holds_weights]
                    for each in fleets
                ]
            }
        }


def _is_fleet(kind):
    return kind.__name__ == "Fleet" and PACK in kind.__module__


class NativeTiny:
    """The bundled model as ComfyUI's own loaders would hand it over, with prompt and image."""

    CATEGORY = "test"
    FUNCTION = "run"
    RETURN_TYPES = (
        "MODEL",
        "MODEL_PATCH",
        "VAE",
        "AUDIO_ENCODER",
        "CONDITIONING",
        "CLIP_VISION_OUTPUT",
    )

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "size": ("INT", {"default": 64})}}

    def run(self, image, size):
        core = next(name for name in sys.modules if name.endswith(f".{PACK}"))
        sys.path.append(str(Path(sys.modules[core].__file__).parents[1] / "tests" / "comfyui"))
        import native_networks as native

        weights = import_module(f"{core}.weights.load")
        tiny = weights.load_avatar("tiny", "cpu")
        config, dit = tiny.config, tiny.dit.state_dict()
        encode = import_module(f"{core}.models.encoders.text").encode_prompt
        portrait = import_module(f"{core}.media.image.portrait")
        pixels = import_module(f"{core}.media.pixels").to_model_range
        media = import_module(core.removesuffix(PACK) + "nodes.host.media")
        fitted = portrait.fit_image(media.pil_image_of(image), (size, size), "cover")
        with torch.no_grad():
            context = encode(tiny.text_encoder, tiny.tokenizer, config.prompt, config.dit.text_len)
            tokens = tiny.clip(pixels(fitted)[None])
        output = type("Output", (), {"penultimate_hidden_states": tokens})()
        return (
            native.native_model(config.dit, dit, config.vae),
            native.native_patch(config.dit, dit),
            native.bundled_vae(config.vae, tiny.vae),
            native.native_encoder(config.audio, tiny.audio_encoder.state_dict()),
            [[context[None], {}]],
            output,
        )


class ScaledAttention:
    """Overrides attention as nodes of other packs do: ComfyUI's own, times a factor."""

    CATEGORY = "test"
    FUNCTION = "run"
    RETURN_TYPES = ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "factor": ("FLOAT", {"default": 1.0})}}

    def run(self, model, factor):
        patched = model.clone()
        options = patched.model_options["transformer_options"]
        options["optimized_attention_override"] = lambda attend, *args, **named: (
            attend(*args, **named) * factor
        )
        return (patched,)


def _names(networks):
    return [type(network).__name__ for network in networks if PACK in type(network).__module__]


NODE_CLASS_MAPPINGS = {
    "FlashTalkTest_NativeTiny": NativeTiny,
    "FlashTalkTest_ScaledAttention": ScaledAttention,
    "FlashTalkTest_TwoSounds": TwoSounds,
    "FlashTalkTest_SmallInterpolator": SmallInterpolator,
    "FlashTalkTest_Memory": Memory,
    "FlashTalkTest_Networks": Networks,
    "FlashTalkTest_Fleets": Fleets,
}
