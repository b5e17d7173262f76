"""What an engine adds: host time, launch gaps, its scheduler's rules and the memory it takes. Every term has a name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Engine:
    """One serving or training engine.

    host          seconds a step that the device waits for: scheduler, sampler, Python
    per_sequence  seconds a step for each running sequence: block tables, sampling, detokenizing
    per_layer     seconds a layer and step between kernels beyond their own start: graph nodes, casts, small kernels
    per_collective  seconds a layer more when layers exchange data: synchronization
    kernels       its kernels' time over that of the best known ones
    request       seconds from a request's arrival to its first launch: tokenizer, HTTP, admission
    chunk         most prompt tokens of one step
    mixed         whether prompt chunks ride with the decode batch
    graphs        whether decode steps are captured graphs
    fraction      of the device's memory that it takes for weights, activations and cache
    block         tokens a cache block holds
    spread        standard deviation of log(measured / predicted) of a step under this engine
    source        where the numbers come from
    """

    name: str
    host: float = 0.0
    per_sequence: float = 0.0
    per_layer: float = 0.0
    per_collective: float = 0.0
    kernels: float = 1.0
    request: float = 0.0
    chunk: int = 8192
    mixed: bool = True
    graphs: bool = True
    fraction: float = 0.9
    block: int = 16
    spread: float = 0.3
    source: str = "assumed"

    def step(self, kernels: float, layers: int, sequences: float, *, joined: bool) -> float:
        """Seconds of a step whose kernels take so long: what the engine adds is a sum of named terms."""
        return kernels * self.kernels + self.added(layers, sequences, joined=joined)

    def added(self, layers: int, sequences: float, *, joined: bool) -> float:
        """Seconds a step beyond the kernels."""
        gaps = layers * (self.per_layer + (self.per_collective if joined else 0.0))
        return self.host + gaps + self.per_sequence * sequences
