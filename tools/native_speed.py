"""Seconds a chunk of a native model against the pack's own: prints a line for each.

Run it with ComfyUI's interpreter, in this folder: ``python -m tools.native_speed COMFYUI``.
``--model 14b`` draws random weights of the full size (33 GB, shared by both), ``tiny`` of the
bundled one's. Both run what a session runs for each chunk: audio encoder, motion encode, denoising,
decoding, frames in host memory; the ways take turns. The native model is resident, without patches.
On a CPU the seconds are those of one core, so that other programs do not count.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
PACK = "pack"
CORE = f"{PACK}.flashtalk_core."


def main(arguments: list[str]) -> None:
    """Measure and print."""
    given = read_arguments(arguments)
    sys.argv = ["main.py", *(["--cpu"] if given.device == "cpu" else [])]
    sys.path[:0] = [str(given.comfyui), str(ROOT / "tests" / "comfyui")]
    import_module("comfy.options").enable_args_parsing()
    load_pack()
    torch = import_module("torch")
    with torch.inference_mode():
        for name, seconds in measure(given).items():
            shown = ", ".join(f"{value:.2f}" for value in seconds)
            sys.stdout.write(f"{name}: {median(seconds):.2f} s a chunk ({shown})\n")


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return what was written on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.native_speed")
    parser.add_argument("comfyui", type=Path, help="folder of ComfyUI")
    parser.add_argument("--model", choices=["tiny", "14b"], default="tiny")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--size", default="768x448", help="height x width")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--speed", default="auto", help="of the own model: auto, plain, fused")
    return parser.parse_args(arguments)


def load_pack() -> None:
    """Import the pack as ComfyUI does, under a name of its own."""
    spec = spec_from_file_location(
        PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules[PACK] = module = module_from_spec(spec)
    spec.loader.exec_module(module)


def core(name: str) -> Any:
    """Return a module of the core as the pack has it."""
    return import_module(CORE + name)


def measure(given: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of each repeat of a chunk by the name of the way, the first left out."""
    torch = import_module("torch")
    device = torch.device(given.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    config = core("config.avatar").AvatarConfig()
    if given.model == "tiny":
        config = core("weights.load").open_avatar("tiny").config
    sdpa = core("acceleration.attention_kernels").choose_attention("auto", device)
    drawn = core("bench.random_networks")
    networks = drawn.random_networks(config, sdpa, device, dtype)
    size_px = tuple(map(int, given.size.split("x")))
    inputs = drawn.random_inputs(networks, size_px, given.steps)
    native = native_denoiser(networks, device)  # takes the weights as they are, before they fuse
    options = core("acceleration.support").choose_kernel_options(given.speed, device)
    for network in (networks.dit, networks.vae):
        core("acceleration.apply").set_execution(network, options, device)
    latents = core("acceleration.support").default_decode_latents(options)
    avatar = core("bench.one_chunk").make_avatar(networks, inputs, latents)
    ways = {f"own, {given.speed}": avatar, "native": with_native(avatar, native, inputs)}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _repeat in range(given.repeats + 1):
        for name, way in ways.items():
            found[name].append(seconds_of(way, networks, inputs))
    return {name: seconds[1:] for name, seconds in found.items()}


def native_denoiser(networks: Any, device: Any) -> Any:
    """Return the denoiser of ComfyUI's model with the weights of ``networks``."""
    made = import_module("native_networks")
    weights = networks.dit.state_dict()
    model = made.native_model(networks.config.dit, weights, networks.config.vae, device)
    patch = made.native_patch(networks.config.dit, weights, device)
    found = import_module(f"{PACK}.nodes.native.denoiser")
    events = core("engine.events").NO_EVENTS
    return found.native_denoiser(model, patch, networks.config.dit, events)


def with_native(avatar: Any, denoiser: Any, inputs: Any) -> Any:
    """Return ``avatar`` with another denoiser, and a prompt of its own."""
    torch = import_module("torch")
    config, like = denoiser.config, inputs.reference.motion_latent
    kind = core("engine.reference").EncodedPortrait
    portrait = kind(
        inputs.reference.session.condition,
        torch.randn(1, config.clip_tokens, config.clip_dim).to(like),
        like,
        inputs.reference.colour,
    )
    reference = denoiser.project(portrait, torch.randn(20, config.text_dim).to(like))
    return replace(
        avatar,
        model=replace(avatar.model, denoiser=denoiser),
        references=replace(avatar.references, reference=reference),
    )


def seconds_of(avatar: Any, networks: Any, inputs: Any) -> float:
    """Return the seconds of a chunk in the middle of a session, work on the device included."""
    span = core("bench.one_chunk").measured_span(networks)
    state = core("engine.state").SessionState(1, inputs.motion_frames)
    is_cpu = inputs.motion_frames.device.type == "cpu"
    now = time.process_time if is_cpu else time.perf_counter
    start = now()
    for _group in avatar.generate(span, state):
        pass  # its frames are in host memory
    return now() - start


if __name__ == "__main__":
    main(sys.argv[1:])
