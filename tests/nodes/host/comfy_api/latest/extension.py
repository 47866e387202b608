"""What a pack hands to ComfyUI."""


class ComfyExtension:
    """A list of nodes, and a step before it is asked for."""

    async def on_load(self):
        """Do nothing unless a pack has something to prepare."""

    async def get_node_list(self):
        """Return the node classes."""
        raise NotImplementedError
