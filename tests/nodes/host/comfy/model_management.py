"""Which models are on their device, and whether the user wants to stop; one device, the CPU."""

import weakref

import torch

asked_bytes = []
"""Memory in addition to the weights that was asked for, at each loading."""
current_loaded_models = []
"""Patchers of models that are on their device: weak references, the last used first."""

DISABLE_SMART_MEMORY = False
"""Whether what is loaded makes everything else leave, as with ``--disable-smart-memory``."""

_state = {"interrupted": False}


class InterruptProcessingException(Exception):
    """Raised inside a node when the user stops the prompt."""


def interrupt_current_processing(value=True):
    _state["interrupted"] = value


def throw_exception_if_processing_interrupted():
    if _state["interrupted"]:
        _state["interrupted"] = False  # as ComfyUI does: the next prompt is to run
        raise InterruptProcessingException


def get_torch_device():
    return torch.device("cpu")


def get_all_torch_devices():
    return [torch.device("cpu")]


def unet_offload_device():
    return torch.device("cpu")


def is_device_cpu(device):
    return device.type == "cpu"


def should_use_bf16(device):
    return False


def should_use_fp16(device):
    return False


def load_models_gpu(models, *, memory_required=0, force_full_load=False):
    asked_bytes.append(memory_required)
    assert force_full_load, "a network that is not made of ComfyUI's layers is loaded as a whole"
    if DISABLE_SMART_MEMORY:
        _unload([entry for entry in current_loaded_models if entry() not in models])
    for patcher in models:
        known = [entry for entry in current_loaded_models if entry() not in (None, patcher)]
        patcher.partially_load(patcher.load_device, 1e32, force_patch_weights=False)
        current_loaded_models[:] = [weakref.ref(patcher), *known]


def unload_all_models():
    """Take every model off its device, as /free does."""
    _unload(list(current_loaded_models))


def _unload(entries):
    for entry in entries:
        patcher = entry()
        if patcher is not None and not patcher.partially_unload(patcher.offload_device, 1e32):
            patcher.detach()
        current_loaded_models.remove(entry)
