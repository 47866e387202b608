"""``doctor``: what this machine can do, what is missing, and what that would bring."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ... import __version__
from ...acceleration.kernel_options import KernelOptions
from ...errors import FlashTalkError
from ...excerpt import format_size
from ..terminal import write_out
from .findings import Finding, Package, look_for
from .several_devices import list_several

if TYPE_CHECKING:
    import torch


REQUIRED = (
    Package("torch", "torch", "runs the networks"),
    Package("safetensors", "safetensors", "reads weights"),
    Package("sentencepiece", "sentencepiece", "splits prompts into tokens"),
    Package("numpy", "numpy", "arrays of audio and images"),
    Package("scipy", "scipy", "removes rumble from recordings"),
    Package("soxr", "soxr", "resampling of audio"),
    Package("PIL", "pillow", "images"),
    Package("av", "av", "reads audio, writes video"),
    Package("ftfy", "ftfy", "repairs wrongly decoded characters in prompts"),
)
OPTIONAL = (
    Package("cv2", "opencv-python-headless", "finds faces: --fit face, --speaker face"),
    Package("spandrel", "spandrel", "networks that make frames larger: --upscale"),
    Package("soundfile", "soundfile", "audio files that PyAV cannot read"),
    Package("triton", "triton", "fused mode on GPUs, 1.7 times as fast; SageAttention"),
)
ENCODERS = (("libx264", "H.264 video"), ("aac", "AAC audio"))


@dataclass(frozen=True)
class Model:
    """A folder of weights."""

    folder: str
    problem: str | None
    """Why it cannot be loaded; ``None`` when every tensor is there."""
    parts: list[Finding]


@dataclass(frozen=True)
class Report:
    """Everything that was found."""

    flashtalk: str
    python: str
    system: str
    devices: list[Finding]
    several: list[Finding]
    """What several devices need to render together."""
    attention: list[Finding]
    required: list[Finding]
    optional: list[Finding]
    encoders: list[Finding]
    models: list[Model]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "show what this machine can run, and what is missing"
    parser = subparsers.add_parser("doctor", help=text, description=text)
    parser.add_argument(
        "--model", action="append", default=[], metavar="DIR", help="also check these weights"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; the exit code says whether the weights that were named can be used."""
    report = examine(["tiny", *args.model])
    text = json.dumps(asdict(report), indent=1) if args.json else format_report(report)
    write_out(text)
    _, *named = report.models
    return int(any(model.problem is not None for model in named))


def examine(models: list[str]) -> Report:
    """Look at this machine and at the weights of ``models``."""
    has_torch = importlib.util.find_spec("torch") is not None
    return Report(
        flashtalk=__version__,
        python=platform.python_version(),
        system=platform.platform(),
        devices=list_devices() if has_torch else [],
        several=list_several() if has_torch else [],
        attention=list_kernels() if has_torch else [],
        required=[look_for(package) for package in REQUIRED],
        optional=[look_for(package) for package in OPTIONAL],
        encoders=list_encoders(),
        models=[check_model(model) for model in models],
    )


def list_devices() -> list[Finding]:
    """Return the CPU, every CUDA GPU, and Apple's GPU."""
    import torch

    cpu = Finding("cpu", True, f"{torch.get_num_threads()} threads of {os.cpu_count()} cores")
    return [cpu, *_cuda_devices(), _apple_device()]


def _cuda_devices() -> list[Finding]:
    import torch

    if not torch.cuda.is_available():
        reason = (
            "no GPU that PyTorch can use"
            if torch.version.cuda
            else "this PyTorch is built without CUDA"
        )
        return [Finding("cuda", False, reason)]
    devices = []
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        memory = f"{found.total_memory / 2**30:.1f} GiB"
        with torch.cuda.device(index):
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        bf16 = "bfloat16" if has_bf16 else "no bfloat16, --dtype auto is float16"
        detail = f"{found.name}, {memory}, capability {found.major}.{found.minor}, {bf16}"
        devices.append(Finding(f"cuda:{index}", True, detail))
        devices += _execution_modes(torch.device("cuda", index))
    return devices


def _execution_modes(device: torch.device) -> list[Finding]:
    """Return the faster execution modes of a GPU, and why one is not available."""
    from ...acceleration.support import check_kernel_options
    from ...placement.memory_choice import check_choice
    from ...placement.memory_plan import MemoryChoice

    findings = []
    for name, check, gain in (
        ("fused", partial(check_kernel_options, KernelOptions()), "1.7 times as fast as eager"),
        ("float8", partial(check_choice, MemoryChoice(float8=True)), "FP8: less time and memory"),
    ):
        try:
            check(device)
        except FlashTalkError as error:
            findings.append(Finding(f"{device} {name}", False, str(error)))
        else:
            findings.append(Finding(f"{device} {name}", True, gain))
    return findings


def _apple_device() -> Finding:
    import torch

    found = torch.backends.mps.is_available()
    return Finding("mps", found, "Apple GPU" if found else "no Apple GPU")


def list_kernels() -> list[Finding]:
    """Return the attention kernels."""
    import torch

    from ...acceleration.attention_kernels import KERNELS, is_installed

    always = Finding("sdpa", True, "PyTorch's own, on every device")
    cudnn = Finding(
        "sdpa-cudnn", torch.backends.cudnn.is_available(), "PyTorch's own, faster on Hopper GPUs"
    )
    others = [Finding(kernel.name, is_installed(kernel), kernel.gain) for kernel in KERNELS]
    return [always, cudnn, *others]


def list_encoders() -> list[Finding]:
    """Return the encoders a video needs; PyAV brings them."""
    try:
        from av.codec import codecs_available as available
    except ImportError:
        available = set()
    return [Finding(name, name in available, f"{use}, part of PyAV") for name, use in ENCODERS]


def check_model(model: str) -> Model:
    """Find the parts of ``model`` and check every tensor's name and shape; none is read."""
    parts: list[Finding] = []
    folder = model
    try:
        from ...weights.discovery.layout import list_parts, resolve_model
        from ...weights.load import open_avatar

        path = resolve_model(model)
        folder = str(path)
        parts = [
            Finding(part.title, part.problem is None, part.problem or _places(path, part.paths))
            for part in list_parts(path)
        ]
        open_avatar(path)
    except (FlashTalkError, ImportError) as error:
        return Model(folder, str(error), parts)
    return Model(folder, None, parts)


def _places(folder: Path, paths: tuple[Path, ...]) -> str:
    if not paths:
        return "inside the text encoder's file"
    first = paths[0].relative_to(folder) if paths[0].is_relative_to(folder) else paths[0]
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{first}{more}, {format_size(sum(path.stat().st_size for path in paths))}"


def format_report(report: Report) -> str:
    """Return the report as text."""
    lines = [f"FlashTalk {report.flashtalk}, Python {report.python}, {report.system}"]
    lines += _section("devices", report.devices)
    lines += _section("several devices together", report.several)
    lines += _section("attention kernels", report.attention)
    lines += _section("required packages", report.required)
    lines += _section("optional packages", report.optional)
    lines += _section("encoders", report.encoders)
    for model in report.models:
        lines += _section(f"weights in {model.folder}: {_state(model)}", model.parts)
    return "\n".join(lines)


def _state(model: Model) -> str:
    if model.problem is None:
        return "complete"
    is_shown = any(part.detail == model.problem for part in model.parts)
    return "cannot be used" if is_shown else f"cannot be used: {model.problem}"


def _section(title: str, findings: list[Finding]) -> list[str]:
    width = max((len(finding.name) for finding in findings), default=0)
    rows = [
        f"  {'found  ' if finding.found else 'missing'}  {finding.name:{width}}  {finding.detail}"
        for finding in findings
    ]
    return ["", title, *rows]
