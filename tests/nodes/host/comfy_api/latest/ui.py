"""What a node shows on the page."""


class SavedResult(dict):
    """A file the page can ask for."""

    def __init__(self, filename, subfolder, type):  # noqa: A002
        super().__init__(filename=filename, subfolder=subfolder, type=type.value)


class PreviewVideo:
    """A video that plays on the node."""

    def __init__(self, values):
        self.values = values

    def as_dict(self):
        return {"images": self.values, "animated": (True,)}
