"""Faces in an image, found by OpenCV, which is optional.

OpenCV 4 brings a detector that needs no download: cascades of Haar features (under Intel's BSD
licence). OpenCV 5 dropped both. YuNet, a network that either of them runs, is a file of its own
(``face_detection_yunet_2023mar.onnx`` of OpenCV's model zoo, MIT licence).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ....errors import InvalidInputError, about
from ....excerpt import reason, shown_path
from ....files.paths import check_file
from ....packages import missing_package

PACKAGE = "opencv-python-headless"
_CASCADES = ("haarcascade_frontalface_alt2.xml", "haarcascade_frontalface_default.xml")
"""The first is right more often; the second, on red, where skin is light, is asked if it finds
none. Of 48 drawn faces they find 43 and 47."""
_SEARCHED_PX = 640
"""Longer side that is searched: finer detail costs time and finds faces in textures."""
_SMALLEST = 1 / 14
"""Least width of a face, as a share of the shorter side."""
_SCALE_STEP, _NEIGHBOURS = 1.05, 3
_YUNET_SCORE = 0.7


@dataclass(frozen=True, order=True)
class FaceBox:
    """A face from forehead to chin, in pixels of its image, inside of it."""

    left: int
    top: int
    width: int
    height: int

    @property
    def centre(self) -> tuple[float, float]:
        """Return x and y of the middle."""
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def area(self) -> int:
        """Return its size in square pixels."""
        return self.width * self.height

    def contains(self, x: float, y: float) -> bool:
        """Whether a point lies inside."""
        return 0 <= x - self.left < self.width and 0 <= y - self.top < self.height


@dataclass(frozen=True)
class FaceUse:
    """What faces are looked for, for messages."""

    what: str
    """Begins a message."""
    instead: str
    """What to do where none can be found."""


FACE_CROP = FaceUse("face crop", "leave it off")


def find_faces(
    image: Image.Image, detector: Path | None = None, use: FaceUse = FACE_CROP
) -> tuple[FaceBox, ...]:
    """Find the faces of an image.

    Args:
        image: Upright, any mode that Pillow converts to RGB.
        detector: File of YuNet's network; ``None`` is OpenCV's own cascade, for faces that look
            into the camera.
        use: What for.

    Returns:
        Faces that do not lie in one another, from left to right; none if there is none.

    Raises:
        InvalidInputError: If OpenCV, its cascade or the file is missing or cannot be used; its
            subject is ``fit``.
    """
    scale = min(1.0, _SEARCHED_PX / max(image.size))
    size = max(1, round(scale * image.width)), max(1, round(scale * image.height))
    pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX))
    cv2 = _opencv(use)
    found = (
        _by_cascade(cv2, pixels, use) if detector is None else _by_network(cv2, pixels, detector)
    )
    boxes = [_inside(box / scale, image.size) for box in found]
    return tuple(sorted(_apart([box for box in boxes if box.width > 1 and box.height > 1])))


def _opencv(use: FaceUse) -> Any:
    try:
        import cv2
    except ImportError as error:
        raise InvalidInputError(
            f"{use.what}: {missing_package(PACKAGE)}, or {use.instead}", subject="fit"
        ) from error
    return cv2


def _by_cascade(cv2: Any, pixels: NDArray[np.uint8], use: FaceUse) -> list[NDArray[np.float64]]:
    folder = Path(getattr(getattr(cv2, "data", None), "haarcascades", ""))
    if not hasattr(cv2, "CascadeClassifier") or not (folder / _CASCADES[0]).is_file():
        raise InvalidInputError(
            f"{use.what}: OpenCV {cv2.__version__} has no detector of its own; install "
            f"'{PACKAGE}<5', or name YuNet's file (face_detection_yunet_2023mar.onnx of OpenCV's "
            "model zoo)",
            subject="fit",
        )
    smallest = max(20, round(_SMALLEST * min(pixels.shape[:2])))
    channels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.ascontiguousarray(pixels[:, :, 0])
    for name, channel in zip(_CASCADES, channels, strict=True):
        boxes = _read_cascade(cv2, folder / name).detectMultiScale(
            channel,
            scaleFactor=_SCALE_STEP,
            minNeighbors=_NEIGHBOURS,
            minSize=(smallest, smallest),
        )
        if len(boxes):
            return [np.asarray(box, np.float64) for box in boxes]
    return []


def _read_cascade(cv2: Any, path: Path) -> Any:
    # Read here: OpenCV opens no path with letters that the system's code page lacks.
    flags = cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY
    stored = cv2.FileStorage(path.read_text("utf-8"), flags)  # owns the node
    cascade = cv2.CascadeClassifier()
    cascade.read(stored.getFirstTopLevelNode())
    return cascade


def _by_network(cv2: Any, pixels: NDArray[np.uint8], detector: Path) -> list[NDArray[np.float64]]:
    size = pixels.shape[1], pixels.shape[0]
    with about("fit"):
        check_file(detector, "face detector")
    try:
        weights = np.frombuffer(detector.read_bytes(), np.uint8)
        nothing = np.zeros(0, np.uint8)
        network = cv2.FaceDetectorYN.create("onnx", weights, nothing, size, _YUNET_SCORE)
        faces = network.detect(np.ascontiguousarray(pixels[:, :, ::-1]))[1]
    except (OSError, cv2.error, AttributeError) as error:
        # OpenCV's own words are about its source.
        why = f" ({reason(error)})" if isinstance(error, OSError) else ""
        raise InvalidInputError(
            f"face detector {shown_path(detector)}: OpenCV {cv2.__version__} cannot use it{why}; "
            "name YuNet's file, face_detection_yunet_2023mar.onnx of OpenCV's model zoo",
            subject="fit",
        ) from error
    return [] if faces is None else [np.asarray(face[:4], np.float64) for face in faces]


def _inside(box: NDArray[np.float64], size: tuple[int, int]) -> FaceBox:
    """Return a box (left, top, width, height) as far as it is in an image (width, height)."""
    left, top = (max(0, round(value)) for value in box[:2])
    right, bottom = (min(side, round(at)) for side, at in zip(size, box[:2] + box[2:], strict=True))
    return FaceBox(left, top, right - left, bottom - top)


def _apart(boxes: list[FaceBox]) -> list[FaceBox]:
    """Return the larger ones of boxes of which one has the other's middle."""
    kept: list[FaceBox] = []
    for box in sorted(boxes, key=lambda each: -each.area):
        if not any(other.contains(*box.centre) or box.contains(*other.centre) for other in kept):
            kept.append(box)
    return kept
