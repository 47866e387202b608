"""Golden numbers through ComfyUI's own blocks and guider, as JSON: largest errors, over the spread.

Run by ComfyUI's interpreter: ``native_parity.py COMFYUI PACK``.
"""

import json
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def load_pack(root):
    """Import the pack as ComfyUI does, under a name of its own."""
    spec = spec_from_file_location(
        "pack", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    sys.modules["pack"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)


def main(comfyui, root):
    sys.argv = ["main.py", "--cpu"]
    sys.path[:0] = [comfyui, str(Path(__file__).parent)]
    import comfy.options

    comfy.options.enable_args_parsing()
    load_pack(root)
    import torch

    with torch.no_grad():
        sys.stdout.write(json.dumps(dict(errors(root / "tests" / "golden"))) + "\n")


def errors(golden_folder):
    import torch
    from native_networks import native_encoder, native_model, native_patch, native_vae

    core = "pack.flashtalk_core."
    read_golden = import_module(f"{core}parity.golden").read_golden
    kinds = {
        name: getattr(import_module(f"{core}models.{module}"), name)
        for name, module in (("VideoVAE", "vae.model"), ("AudioEncoder", "encoders.audio"))
    }
    dit, vae, ears, loop = (
        read_golden(golden_folder, name) for name in ("dit", "vae", "wav2vec2", "pipeline")
    )
    sizes, settings = (import_module(core + name) for name in ("config.networks", "settings"))
    config, vae_config, audio_config = (
        settings.from_settings(kind, golden.config)
        for kind, golden in (
            (sizes.DiTConfig, dit),
            (sizes.VAEConfig, vae),
            (sizes.AudioEncoderConfig, ears),
        )
    )
    heard = {name.removeprefix("wav2vec2."): value for name, value in ears.weights.items()}
    described = import_module("pack.nodes.native.model").describe_native(
        native_model(config, dit.weights),
        native_patch(config, dit.weights),
        native_vae(vae_config, vae.weights),
        native_encoder(audio_config, heard),
    )
    checkpoint = described.checkpoint
    events = import_module(f"{core}engine.events").NO_EVENTS
    denoiser = described.hosted.denoiser(checkpoint.config.dit, events)
    yield "velocity", error(velocity(denoiser, dit), dit["out.velocity"])
    encoder, decoder = (
        checkpoint.load(kinds[name], torch.device("cpu"), torch.float32)
        for name in ("AudioEncoder", "VideoVAE")
    )
    yield "audio", error(encoder(ears["in.speech8s"][None], 200)[0], ears["out.embedding8s"])
    yield from chunk_errors(core, denoiser, decoder, checkpoint.config, loop)


def velocity(denoiser, golden):
    """Return the velocity of the golden chunk, by the guider that the denoiser uses."""
    import torch
    from comfy.samplers import KSAMPLER, CFGGuider

    reference = denoiser.project(
        portrait(golden["in.condition"], golden["in.clip"]), golden["in.text"]
    )
    denoiser.set_audio(golden["in.audio"], 1.0)
    latent, level = golden["in.latent"][None], golden["in.timestep"] / 1000
    found = []

    def run(native, start, sigmas, extra_args, **_):
        found.append((latent - native(latent, level, **extra_args)) / level)
        return start

    guider = CFGGuider(denoiser.model)
    guider.set_conds(reference.session, reference.session)
    guider.set_cfg(1.0)
    empty = latent * 0
    sigmas = torch.tensor([float(level), 0.0])
    guider.sample(empty, empty, KSAMPLER(run), sigmas, disable_pbar=True, seed=0)
    return found[0]


def portrait(condition, clip, motion=None):
    kind = import_module("pack.flashtalk_core.engine.reference").EncodedPortrait
    return kind(condition, clip, motion, colour=None)


def chunk_errors(core, denoiser, decoder, config, golden):
    """Yield the errors of the golden chunks, drawn by the engine's own loop."""
    import torch

    chunks = import_module(f"{core}engine.chunk")
    colour = import_module(f"{core}media.image.colour").ColourReference
    state = import_module(f"{core}engine.state").SessionState()
    networks = import_module(f"{core}placement.provider").FixedNetworks(decoder)
    replay = import_module(f"{core}parity.pipeline").replayed_noise
    sampling = import_module(f"{core}config.sampling").SamplingConfig(colour_strength=0.0)
    model = chunks.ChunkModel(networks, config.chunk, denoiser=denoiser)
    encoded = portrait(
        golden["prepared.condition"],
        golden["prepared.clip"],
        golden["prepared.motion_latent"][None],
    )
    size = [8 * side for side in golden["prepared.motion_latent"].shape[-2:]]
    reference = replace(
        denoiser.project(encoded, golden["in.text"]),
        colour=colour.from_image(torch.zeros(3, *size)),
    )
    for index in range(3):
        name = f"chunk{index}"
        noise = replay(golden[f"{name}.noise_init"], golden[f"{name}.noise_steps"])
        groups = list(
            chunks.generate_chunk(
                model, reference, golden[f"{name}.audio"], state, sampling, draw_noise=noise
            )
        )
        state = groups[-1].state
        frames = torch.cat([group.frames for group in groups], dim=1)
        yield name, error(frames, golden[f"{name}.frames"])


def error(found, expected):
    return float((found.double() - expected.double()).abs().max() / expected.double().std())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
