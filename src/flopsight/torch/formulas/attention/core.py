"""The work of one attention call: scores 2·pairs·e and mix 2·pairs·v, in the three columns."""

from __future__ import annotations

from dataclasses import dataclass

from flopsight.counted import Flops


@dataclass(frozen=True, slots=True)
class Core:
    """Query-key pairs summed over batch and heads (heads may be masked differently), key width e, value width v.

    allowed   pairs that the mask lets through: required
    run       pairs that the kernel multiplies: executed. A flag, a window or a length is skipped, a mask tensor is
              multiplied through; that a kernel works in whole blocks along a mask's edge is not counted
    square    all queries times all keys
    """

    key_width: int
    value_width: int
    allowed: int
    run: int
    square: int

    def forward(self) -> Flops:
        """Scores (e wide) and mix (v wide)."""
        one = 2 * (self.key_width + self.value_width)
        return Flops(one * self.allowed, one * self.square, one * self.run)

    def backward(self, query: bool = True, key: bool = True, value: bool = True, bias: bool = False) -> Flops:
        """dQ and dK (e wide each), dV (v wide), and dP (v wide) that all but dV come from.

        The model asks for the gradients that are wanted; the kernels compute all of them and rebuild the scores:
        2.5 times the forward for e = v (Dao 2023, arXiv 2307.08691).
        """
        scores, mix = 2 * self.key_width, 2 * self.value_width
        wanted = scores * (query + key) + mix * (value + (query or key or bias))
        run = 3 * scores + 2 * mix
        return Flops(wanted * self.allowed, wanted * self.square, run * self.run)
