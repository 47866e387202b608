"""Frames on their way from a GPU to host memory."""

import pytest
import torch

from flashtalk_core.media.pixels import to_images

pytestmark = pytest.mark.gpu


def test_images_from_a_gpu_are_those_of_the_cpu_and_stay_as_they_are():
    generator = torch.Generator().manual_seed(0)
    groups = [torch.rand(3, 4, 64, 48, generator=generator) * 2 - 1 for _ in range(8)]
    found = [to_images(group.cuda()) for group in groups]
    for images, group in zip(found, groups, strict=True):
        assert images.device.type == "cpu"
        assert torch.equal(images, to_images(group))
