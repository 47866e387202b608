"""Which kernels the networks run with, as plain data: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Literal, Self, get_args

from ..errors import require
from ..excerpt import excerpt

SPEEDS = ("auto", "plain", "fused", "compiled")
"""Names of execution modes; see :func:`.apply.choose_kernel_options`."""
SPEED_WORDS = (*SPEEDS, "eager")
"""What may be written for a speed: ``eager`` is another word for ``plain``."""

GraphMode = Literal["auto", "on", "off"]
"""Whether a denoising step and the audio encoder are recorded as CUDA graphs; ``auto`` is where
that saves time."""
GRAPH_MODES: tuple[GraphMode, ...] = get_args(GraphMode)

Exchange = Literal["collectives", "xfuser"]
"""What exchanges tokens between devices: this project's own Ulysses and Ring, or xfuser's."""
EXCHANGES: tuple[Exchange, ...] = get_args(Exchange)


def check_graph_mode(mode: str) -> None:
    """Raise :class:`InvalidInputError` if ``mode`` is none of :data:`GRAPH_MODES`."""
    names = ", ".join(GRAPH_MODES)
    require(mode in GRAPH_MODES, f"graph {excerpt(mode)!r}: use one of {names}", subject="graph")


def speed_of(word: str) -> str:
    """Return which of :data:`SPEEDS` one of :data:`SPEED_WORDS` means.

    Raises:
        InvalidInputError: If it is none of them.
    """
    names = ", ".join(SPEED_WORDS)
    require(word in SPEED_WORDS, f"speed {word!r}: use one of {names}", subject="speed")
    return "plain" if word == "eager" else word


@dataclass(frozen=True, kw_only=True)
class KernelOptions:
    """Which kernels the networks run with. Each option can be turned off alone.

    All compute the same up to the rounding of the dtype.
    """

    fused_blocks: bool = True
    """Fuse the operations between the transformer's matrix products (needs Triton), and
    absorb the projections around the audio cross-attention into its keys and values."""
    compiled_blocks: bool = False
    """Compile the transformer's blocks instead (needs Triton; tens of seconds at first)."""
    channels_last: bool = True
    """Keep the autoencoder's tensors with channels innermost, as its convolutions need them."""
    fused_layers: bool = True
    """Norms, sums and biases of the autoencoder in few passes over memory (needs Triton)."""

    def __post_init__(self) -> None:
        require(
            self.channels_last or not self.fused_layers,
            "fused layers: they need channels_last; turn both on, or fused layers off",
        )
        require(
            not (self.fused_blocks and self.compiled_blocks),
            "compiled blocks and fused blocks: they exclude each other; turn one off",
        )

    @classmethod
    def eager(cls) -> Self:
        """Return the options of eager execution."""
        return cls(**{field.name: False for field in fields(cls)})

    def without(self, names: Iterable[str]) -> Self:
        """Return these options without some, and without what needs them.

        Args:
            names: Of fields.

        Raises:
            InvalidInputError: If a name is not that of a field.
        """
        known = [each.name for each in fields(self)]
        off = dict.fromkeys(names, False)
        for name in off:
            require(
                name in known, f"kernel option {excerpt(name)!r}: use some of {', '.join(known)}"
            )
        if "channels_last" in off:
            off["fused_layers"] = False
        return replace(self, **off)

    @property
    def needs_triton(self) -> bool:
        """Whether any of them runs Triton's kernels on a GPU."""
        return self.fused_blocks or self.compiled_blocks or self.fused_layers
