"""Progress of the node that runs."""

updates = []
"""Every update of every bar since it was cleared: value, total, preview, id of the node."""


class ProgressBar:
    """A bar, and an image next to it."""

    def __init__(self, total, node_id=None):
        self.total = total
        self.node_id = node_id

    def update_absolute(self, value, total=None, preview=None):
        self.total = total or self.total
        updates.append((min(value, self.total), self.total, preview, self.node_id))
