"""What a node shows on the page."""

from .io import FolderType


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


class PreviewImage:
    """An image that is shown on the node."""

    def __init__(self, image, cls=None):
        assert cls is not None, "the page's metadata comes from the class"
        names = [f"{index}.png" for index in range(len(image))]
        self.values = [SavedResult(name, "", FolderType.temp) for name in names]

    def as_dict(self):
        return {"images": self.values, "animated": (False,)}
