"""The environment of a fleet's processes: this one's, without what would disturb them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

_DROPPED = (
    # ComfyUI sets an allocator whose memory cannot be shared between processes.
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
    # Of another program of several processes that this one may belong to.
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
)
_DROPPED_FAMILIES = ("MASTER_", "TORCHELASTIC_", "TORCH_ELASTIC_")
_DEFAULTS = {
    # What a rank writes last is in the log even if it is killed.
    "PYTHONUNBUFFERED": "1",
}
MULTICAST_OFF = {
    "NCCL_NVLS_ENABLE": "0",
    "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
    "NVSHMEM_DISABLE_NVLS": "1",
}
"""Multicast between GPUs: on a host that others use, it can disturb them, and gains nothing in
all-to-all and point-to-point exchanges."""
_ALWAYS = {
    # All ranks are on this host: nothing listens to the network, whatever another program set.
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
} | MULTICAST_OFF
ROOT = Path(__file__).parents[2]
"""Folder of the package: its name in ComfyUI is a path that cannot be imported elsewhere."""


def worker_environment(environment: Mapping[str, str], devices: Sequence[str]) -> dict[str, str]:
    """Return the environment of a fleet's processes.

    Args:
        environment: That of this process.
        devices: Of the fleet, as this process counts them, ``cuda:1`` for example.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name not in _DROPPED and not name.startswith(_DROPPED_FAMILIES)
    }
    kept = _DEFAULTS | kept | _ALWAYS
    kept["PYTHONPATH"] = _joined(str(ROOT), environment.get("PYTHONPATH", ""))
    indices = [device.partition(":")[2] or "0" for device in gpus(devices)]
    if indices:
        mask = environment.get("CUDA_VISIBLE_DEVICES", "").replace(" ", "").split(",")
        names = [mask[int(index)] if any(mask) else index for index in indices]
        kept["CUDA_VISIBLE_DEVICES"] = ",".join(names)
    return kept


def gpus(devices: Sequence[str]) -> list[str]:
    """Return the GPUs among ``devices``, each once, in order."""
    return list(dict.fromkeys(device for device in devices if device.startswith("cuda")))


def local_names(devices: Sequence[str]) -> list[str]:
    """Return what the fleet's processes call its devices, of which they see no others."""
    found = gpus(devices)
    return [f"cuda:{found.index(each)}" if each in found else each for each in devices]


def _joined(first: str, rest: str) -> str:
    return f"{first}:{rest}" if rest else first
