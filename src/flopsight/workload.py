"""What the model is asked to do: how many sequences, how many tokens each, in which phase.

Two nouns. A `Workload` is the request in a user's words. A `Work` is what one part sees of it: the tokens of one
stream (text, an encoder's input, image patches, the positions that need logits). Every field may be an int, a numpy
array or a symbol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flopsight.errors import UsageError
from flopsight.expr import Number

Phase = Literal["train", "prefill", "decode"]
Mask = Literal["required", "full"]
Logits = Literal["all", "last"]
PHASES = ("train", "prefill", "decode")


@dataclass(frozen=True, slots=True)
class Work:
    """The tokens of one stream.

    sequences   B, independent sequences
    queries     S, tokens computed now, per sequence
    past        P, tokens already cached, per sequence
    keys        K, length of the other side for cross-attention
    absorbed    multi-head latent attention is executed with its up-projection folded into the query
    """

    sequences: Number
    queries: Number
    past: Number = 0
    keys: Number = 0
    absorbed: bool = False

    @property
    def tokens(self) -> Number:
        """T = B·S, tokens computed now."""
        return self.sequences * self.queries


@dataclass(frozen=True, slots=True)
class Workload:
    """A request: phase, batch, tokens now (`seq`), tokens cached (`past`), and what the extra inputs hold.

    logits   "all" gives every position to the head (training, scoring), "last" only the position to sample from
    encoder  tokens on the encoder side; None takes the family's own rule
    images   images (or audio clips) per sequence; 0 leaves the towers out, and the report says so
    image_size  side of a square image in pixels, or None for the size in the config
    """

    phase: Phase = "prefill"
    batch: Number = 1
    seq: Number = 1
    past: Number = 0
    logits: Logits = "last"
    encoder: Number | None = None
    images: Number = 0
    image_size: int | None = None

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise UsageError(f"The phase is one of {', '.join(PHASES)}; got {self.phase!r}.")
        if self.logits not in ("all", "last"):
            raise UsageError(f"Logits are for all or the last position; got {self.logits!r}.")
        for name, least in (("batch", 1), ("seq", 1), ("past", 0), ("images", 0)):
            _check(name, getattr(self, name), least)
        if self.encoder is not None:
            _check("encoder", self.encoder, 1)

    def text(self) -> Work:
        """The tokens of the main stream."""
        return Work(self.batch, self.seq, self.past, absorbed=self.phase == "decode")

    def scored(self) -> Work:
        """The positions whose logits are computed."""
        return Work(self.batch, self.seq if self.logits == "all" else 1)


LARGEST = 2**53


def _check(name: str, value: Number, least: int) -> None:
    """Plain numbers are checked here; arrays and symbols by whoever made them."""
    if isinstance(value, bool | float | str):
        raise UsageError(f"{name} is a whole number of at least {least}; got {value!r}.")
    if isinstance(value, int) and not least <= value <= LARGEST:
        raise UsageError(f"{name} is a whole number from {least} to 2^53; got {value}.")
