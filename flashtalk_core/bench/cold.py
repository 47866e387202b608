"""Seconds from weights in local files to the first chunk, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..acceleration.apply import set_execution
from ..acceleration.attention_kernels import choose_attention
from ..acceleration.support import choose_kernel_options
from ..config.avatar import AvatarConfig
from ..errors import FlashTalkError
from ..files.read_ahead import ReadAhead, drop_from_cache
from ..models.attention import sdpa
from ..models.encoders.audio import AudioEncoder
from ..models.transformer.model import AvatarDiT
from ..models.vae.model import VideoVAE
from ..quantization.blocks import convert_blocks
from ..quantization.fp8 import choose_format
from ..weights.formats.tensor_file import open_tensor_file
from ..weights.mapping.key_maps import AUDIO_KEYS, DIT_KEYS, VAE_KEYS, KeyMap
from ..weights.plan import load_module, plan_component
from ..weights.save import save_component
from .one_chunk import run_chunk
from .random_networks import Networks, random_inputs, random_networks
from .stage_clock import StageClock

_CACHES = {"TRITON_CACHE_DIR": "triton", "TORCHINDUCTOR_CACHE_DIR": "inductor"}
_ROOT = Path(__file__).parents[2]
_CHILD = f"import sys; from {__name__} import report_start; report_start(*sys.argv[1:])"
_FILES = {"dit": DIT_KEYS, "vae": VAE_KEYS, "audio_encoder": AUDIO_KEYS}


@dataclass(frozen=True)
class ColdStart:
    """What one process took, in seconds."""

    caches: str
    """Of the compilers, on disk: ``empty`` or ``warm``."""
    disk_gb_per_s: float | None
    """Of the disk, reading the same files just before; ``None`` where they were left in memory."""
    over_disk: float | None
    """``to_read`` over what the disk takes for as many bytes."""
    to_import: float
    to_read: float
    """From the files to the device, changes of the weights for the execution mode included."""
    gigabytes: float
    """Read from the files."""
    to_first_chunk: float | None = None
    """The portrait's encoding included; ``None`` where weights were read and nothing else, as in
    the next three."""
    second_chunk: float | None = None
    other_size: float | None = None
    """First chunk at another size."""
    first_size_again: float | None = None


def measure_cold_starts(
    config: AvatarConfig,
    options: dict[str, Any],
    folder: Path,
    progress: Callable[[str], object] = lambda _text: None,
) -> list[ColdStart]:
    """Write random weights, then start twice: with empty caches of the compilers, and again.

    Args:
        config: Sizes; the text encoder and the vision tower are left out.
        options: ``speed``, ``float8``, ``attention``, ``device``, ``dtype``, ``size_px``,
            ``other_size_px``, ``steps``, ``decode_latents``, ``from_disk``, ``read_ahead`` and
            ``only_read``, as plain values.
        folder: Where weights and caches go; what is written stays.
        progress: Called with the name of each part when it begins.

    Raises:
        FlashTalkError: If a process fails.
    """
    progress("writing weights")
    _write_weights(config, folder, options)
    found = []
    for caches in ("empty", "warm"):
        rate = None
        if options["from_disk"]:
            progress("reading the files from the disk")
            rate = _disk_bytes_per_s(folder)
        progress(f"start with {caches} caches")
        found.append(_measured(caches, rate, _start(config, folder, options)))
    return found


def _measured(caches: str, rate: float | None, laps: dict[str, float]) -> ColdStart:
    if rate is None:
        return ColdStart(caches=caches, disk_gb_per_s=None, over_disk=None, **laps)
    over_disk = laps["to_read"] * rate / (1e9 * laps["gigabytes"])
    return ColdStart(caches=caches, disk_gb_per_s=rate / 1e9, over_disk=over_disk, **laps)


def _disk_bytes_per_s(folder: Path) -> float:
    """Read the weights from the disk as fast as it gives them; none of them stays in memory."""
    paths = _paths(folder)
    drop_from_cache(paths)
    reading = ReadAhead(paths, sum(path.stat().st_size for path in paths))
    start_s = time.monotonic()
    reading.start()
    reading.wait()
    rate = reading.num_bytes / (time.monotonic() - start_s)
    drop_from_cache(paths)
    return rate


def _paths(folder: Path) -> list[Path]:
    return [folder / f"{name}.safetensors" for name in _FILES]


def _write_weights(config: AvatarConfig, folder: Path, options: dict[str, Any]) -> None:
    device, dtype = torch.device(options["device"]), getattr(torch, options["dtype"])
    networks = random_networks(config, sdpa, device, dtype)
    for name in _FILES:
        save_component(getattr(networks, name), folder / f"{name}.safetensors", dtype=dtype)


def _start(config: AvatarConfig, folder: Path, options: dict[str, Any]) -> dict[str, float]:
    caches = {name: str(folder / where) for name, where in _CACHES.items()}
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    start_s = time.time()
    values = json.dumps(options | {"layers": config.dit.num_layers, "model": config.name})
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(folder), repr(start_s), values],
        env=os.environ | caches | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise FlashTalkError(f"start failed with code {done.returncode}: {last}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def report_start(folder: str, start_s: str, values: str) -> None:
    """Start as a render does and print what it took; runs in a process of its own."""
    options = json.loads(values)
    device, dtype = torch.device(options["device"]), getattr(torch, options["dtype"])
    laps = _Laps(float(start_s), device)
    laps.end("to_import")
    config = _config(options)
    paths = choose_kernel_options(options["speed"], device)
    attention = choose_attention(options["attention"], device)
    if options["read_ahead"]:
        ReadAhead(_paths(Path(folder))).start()
    networks = Networks(
        config,
        _read(folder, "dit", partial(AvatarDiT, config.dit, attention), device, dtype),
        _read(folder, "vae", partial(VideoVAE, config.vae), device, dtype),
        _read(folder, "audio_encoder", partial(AudioEncoder, config.audio), device, dtype),
    )
    convert_blocks(networks.dit, choose_format(float8=options["float8"]), device)
    for network in (networks.dit, networks.vae):
        set_execution(network, paths, device)
    laps.end("to_read")
    if not options["only_read"]:
        _run_chunks(networks, options, laps)
    size = sum(path.stat().st_size for path in _paths(Path(folder)))
    sys.stdout.write(json.dumps(laps.found | {"gigabytes": size / 1e9}) + "\n")


def _run_chunks(networks: Networks, options: dict[str, Any], laps: _Laps) -> None:
    sizes = [options["size_px"], options["size_px"], options["other_size_px"], options["size_px"]]
    names = ("to_first_chunk", "second_chunk", "other_size", "first_size_again")
    for name, size_px in zip(names, sizes, strict=True):
        inputs = random_inputs(networks, tuple(size_px), options["steps"])
        clock = StageClock(torch.device(options["device"]))
        run_chunk(networks, inputs, options["decode_latents"], clock)
        laps.end(name)


def _config(options: dict[str, Any]) -> AvatarConfig:
    from ..weights.load import open_avatar

    is_full = options["model"] == AvatarConfig().name
    config = AvatarConfig() if is_full else open_avatar("tiny").config
    return replace(config, dit=replace(config.dit, num_layers=options["layers"]))


def _read(
    folder: str,
    name: str,
    build: Callable[[], Any],
    device: torch.device,
    dtype: torch.dtype,
) -> Any:
    keys: KeyMap = _FILES[name]
    file = open_tensor_file(Path(folder) / f"{name}.safetensors")
    network: nn.Module = load_module(plan_component(build, (file,), keys), device, dtype)
    return network


class _Laps:
    """Wall clock since the last moment, the device's work included."""

    def __init__(self, start_s: float, device: torch.device) -> None:
        self._last_s, self._device = start_s, device
        self.found: dict[str, float] = {}

    def end(self, name: str) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now_s = time.time()
        self.found[name] = now_s - self._last_s
        self._last_s = now_s
