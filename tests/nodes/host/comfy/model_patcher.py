"""A network and where it is."""


class ModelPatcher:
    """Moves a network between the device it works on and the one it waits on."""

    def __init__(self, model, load_device, offload_device):
        self.model = model
        self.load_device = load_device
        self.offload_device = offload_device
        model.model_loaded_weight_memory = 0
        model.device = offload_device

    def current_loaded_device(self):
        return self.model.device

    def model_size(self):
        return sum(each.nbytes for each in self.model.state_dict().values())

    def loaded_size(self):
        return self.model.model_loaded_weight_memory

    def patch_model(self, device_to):
        self.model.to(device_to)
        self.model.device = device_to
        self.model.model_loaded_weight_memory = self.model_size()

    def partially_load(self, device_to, extra_memory=0, force_patch_weights=False):
        raise NotImplementedError("works for layers built of ComfyUI's operations only")

    def partially_unload(self, device_to, memory_to_free=0):
        raise NotImplementedError("works for layers built of ComfyUI's operations only")

    def detach(self, unpatch_all=True):
        if unpatch_all:
            self.model.to(self.offload_device)
            self.model.device = self.offload_device
            self.model.model_loaded_weight_memory = 0
        return self.model
