"""Custom node of the tests: another model in need of room. Loaded by ComfyUI alone."""

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher

CPU = torch.device("cpu")
GB = 10**9
held = []
"""The last one, as ComfyUI's cache would hold a model."""


class BallastPatcher(ModelPatcher):
    """Room on the device without any weights, taken and given back as a whole."""

    def __init__(self, device, num_bytes):
        super().__init__(torch.nn.Module(), device, CPU)
        self.num_bytes, self.room = num_bytes, None

    def model_size(self):
        return self.num_bytes

    def partially_load(self, device_to, *_args, **_kwargs):
        self.room = torch.empty(self.num_bytes, dtype=torch.uint8, device=device_to)
        self.model.device = device_to
        self.model.model_loaded_weight_memory = self.num_bytes
        return self.num_bytes

    def partially_unload(self, *_args, **_kwargs):
        return 0

    def detach(self, unpatch_all=True):
        if unpatch_all:
            self.room = None
            self.model.model_loaded_weight_memory = 0
            self.model.device = self.offload_device
        return self.model


class Ballast:
    """Takes the device but for some gigabytes, as a large model would."""

    CATEGORY = "test"
    FUNCTION = "run"
    RETURN_TYPES = ()
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"left_gb": ("FLOAT", {"default": 1.0})}}

    @classmethod
    def IS_CHANGED(cls, left_gb):
        return float("nan")

    def run(self, left_gb):
        device = management.get_torch_device()
        total = management.get_total_memory(device) if device.type == "cuda" else 2 * GB
        held[:] = [BallastPatcher(device, max(GB // 1000, int(total - left_gb * GB)))]
        management.load_models_gpu(held, force_full_load=True)
        return {"ui": {"bytes": [held[0].num_bytes]}}


NODE_CLASS_MAPPINGS = {"FlashTalkTest_Ballast": Ballast}
