"""Keys and values of past tokens in room that was taken beforehand."""

from __future__ import annotations

from torch import Tensor


class Cache:
    """One pair of tensors [batch, heads, room, width] a layer; `length` tokens of it are filled."""

    def __init__(self, room: int) -> None:
        self.room, self.length = room, 0
        self.held: dict[int, tuple[Tensor, Tensor]] = {}

    def put(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write new keys and values behind the old; give all of them."""
        if layer not in self.held:
            batch, heads, _, width = key.shape
            self.held[layer] = (
                key.new_empty(batch, heads, self.room, width), value.new_empty(batch, heads, self.room, width)
            )  # fmt: skip
        end = self.length + key.shape[2]
        keys, values = self.held[layer]
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]
