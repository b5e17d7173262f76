"""What an engine adds: host time, launch gaps, its scheduler's rules and the memory it takes. Every term has a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Engine:
    """One serving or training engine.

    host          seconds a step that the device waits for: scheduler, sampler, Python
    per_sequence  seconds a step for each running sequence: block tables, sampling, detokenizing
    per_layer     seconds a layer and step between kernels beyond their own start: graph nodes, casts, small kernels
    per_collective  seconds a layer more when layers exchange data: synchronization
    per_routing   seconds a layer more where experts are routed: top-k, permutation, alignment
    kernels       its decode kernels' time over that of the best known ones
    prefills      the same of its prompts' kernels
    families      factor on both by the device's architecture family, where measurements tell them apart
    request       seconds from a request's arrival to its first launch: tokenizer, HTTP, admission
    per_token     seconds a prompt token costs before that: tokenizer, hashes of cache blocks
    polls         steps between two looks for new requests
    eager         seconds a layer of a step with prompts takes at least: launched one by one, not as a graph
    eager_routed  the same more where experts are routed
    burst         share of a closed loop's clients whose prompts arrive together
    lockstep      the same where all requests are of one length
    handover      seconds from the last layer of a prompt to the first step of another machine: its cache is sent
    gathered      share of prompts that arrive together at a pool of their own
    chunk         most prompt tokens of one step
    mixed         whether prompt chunks ride with the decode batch
    graphs        whether decode steps are captured graphs
    sequences     most running sequences of one replica
    fraction      of the device's memory that it takes for weights, activations and cache
    block         tokens a cache block holds
    spread        standard deviation of log(measured / predicted) of a step under this engine
    spreads       the same by circumstance: "tpot", "ttft", and what adds to them (see predict.serve)
    source        where the numbers come from
    """

    name: str
    host: float = 0.0
    per_sequence: float = 0.0
    per_layer: float = 0.0
    per_collective: float = 0.0
    per_routing: float = 0.0
    kernels: float = 1.0
    prefills: float = 1.0
    families: Mapping[str, float] = field(default_factory=dict)
    request: float = 0.0
    per_token: float = 0.0
    polls: float = 1.0
    eager: float = 0.0
    eager_routed: float = 0.0
    burst: float = 0.0
    lockstep: float = 0.0
    handover: float = 0.0
    gathered: float = 0.0
    chunk: int = 8192
    mixed: bool = True
    graphs: bool = True
    sequences: int = 2048
    fraction: float = 0.9
    block: int = 16
    spread: float = 0.3
    spreads: Mapping[str, float] = field(default_factory=dict)
    source: str = "assumed"

    def __hash__(self) -> int:
        return hash((self.name, self.host, self.per_layer, self.kernels, self.chunk))

    def step(self, kernels: float, layers: int, sequences: float, *, joined: bool) -> float:
        """Seconds of a step whose kernels take so long: what the engine adds is a sum of named terms."""
        return kernels * self.kernels + self.added(layers, sequences, joined=joined)

    def added(self, layers: int, sequences: float, *, joined: bool, routed: int = 0) -> float:
        """Seconds a step beyond the kernels; `routed` of the layers have experts."""
        gaps = layers * (self.per_layer + (self.per_collective if joined else 0.0)) + routed * self.per_routing
        return self.host + gaps + self.per_sequence * sequences

    def speed(self, family: str) -> float:
        """The factor of an architecture family, 1 where nothing tells it apart."""
        return self.families.get(family, 1.0)
