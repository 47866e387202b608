"""GGUF files of any tensors, as converters write them."""

import torch

from flashtalk_core.quantization.packed.quantise import quantise_q4_k, quantise_q8_0
from flashtalk_core.quantization.packed.superblocks import Q6_K
from flashtalk_core.weights.formats.gguf.types import NUMBERS, TYPES
from flashtalk_core.weights.formats.gguf.writer import Entry, write_gguf

PLAIN = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def random_q6_k(matrix):
    """Random blocks whose scales are small and finite."""
    ((num_bytes, _),) = Q6_K.sizes(matrix.shape[1])
    generator = torch.Generator().manual_seed(matrix.shape[0])
    blocks = torch.randint(0, 256, (len(matrix), num_bytes), generator=generator).to(torch.uint8)
    blocks = blocks.unflatten(1, (-1, 210))
    blocks[..., 208:] = torch.tensor([5e-5]).half().view(torch.uint8)
    return blocks.flatten(1)


ROUND = {"Q8_0": quantise_q8_0, "Q4_K": quantise_q4_k, "Q6_K": random_q6_k}


def write_file(path, tensors, kind=None, kinds=None, values=None):
    """Write matrices in ``kind`` as far as their rows are whole blocks, others as they are.

    Args:
        path: File.
        tensors: By name.
        kind: Type of the matrices.
        kinds: Types of some of them, by name.
        values: More values of the header.
    """

    def kind_of(name, tensor):
        found = (kinds or {}).get(name, kind)
        is_fit = found and tensor.dim() == 2
        is_fit = is_fit and tensor.shape[1] % TYPES[NUMBERS[found]].num_elements == 0
        return found if is_fit else PLAIN[tensor.dtype]

    entries = [Entry(n, tuple(t.shape), kind_of(n, t)) for n, t in tensors.items()]

    def read(entry):
        tensor = tensors[entry.name]
        return ROUND[entry.kind](tensor) if entry.kind in ROUND else tensor

    with path.open("wb") as file:
        write_gguf(file, {"general.architecture": "wan"} | (values or {}), entries, read)
    return path
