"""Why a count of a running program and the ledger may differ, and by how much exactly.

Each cause is a rule over the parts of a model: it says which lines it changes and by how much, in `full` and in
`required` (counted minus ledger). The rules that apply to a case must add up to its differences to the FLOP, and
`forms.py` lists them by case, so that neither a new difference nor a cause that is gone passes unseen.
"""

from flopsight.models.counting import SOFTMAX
from flopsight.parts.averaging import SquareAverage
from flopsight.parts.conv import Conv
from flopsight.parts.differential import DifferentialCore
from flopsight.parts.gated_delta import GatedDelta
from flopsight.parts.hyper import HyperConnection
from flopsight.parts.lightning import LightningCore
from flopsight.parts.mamba1 import SelectiveScan
from flopsight.parts.mamba2 import StateSpaceDual
from flopsight.parts.masks import Both
from flopsight.parts.mla import LatentUp
from flopsight.parts.moe import Experts
from flopsight.parts.normed_conv import NormedConv
from flopsight.parts.routed import IndexCore

INPUTS = (
    "patch_embeddings.projection", "embeddings.patch_embeddings", "patch_embedding", "patch_conv", "encoder.conv1",
    "conv_layers.0.conv",
)  # fmt: skip
"""Convolutions over pixels and sounds themselves."""
CAUSES = {
    "indexer": "Required counts the whole square of the scores that choose keys, a plain product.",
    "scan": "The recurrence runs as the slow path of the framework: chunks with squares of their own in a prompt, and "
    "in a step on the vector engine, all of it (delta rules) or half of it (state spaces).",
    "average": "An average over neighbours runs as a product with a matrix that is mostly zeros.",
    "cut positions": "A short convolution runs over padding on both ends, in a step over one position more, and the "
    "surplus is cut off.",
    "window in the cache": "The cache of a window holds no more than the window, so that no kernel sees the square "
    "over the whole past: full counts what is required.",
    "expanded": "The framework rebuilds keys and values of the whole past from their latents at every step; the ledger "
    "requires the step's own, as engines that absorb the projection do.",
    "idle experts": "The eager code of Llama 4 runs every expert on every token.",
    "other module": "The weights of a module are used by another, around or inside it, where the product then counts: "
    "the sum agrees.",
    "triangle": "The inverse inside a chunk is a triangular solve, L(L-1)(e+v) a chunk and head, which `full` leaves "
    "out; backward the same again and 2L²(e+v).",
    "empty state": "The first state is a constant and the last is not used: their gradients are not computed.",
    "no gradient": "The choice of keys passes no gradient on, so that the indexer runs forward only; DeBERTa makes "
    "keys of positions that nothing uses where only queries of positions are asked for.",
    "scores twice": "The framework computes the scores once for each half of the values.",
    "inclusive window": "The mask of this encoder reaches one token further on either side than flash attention's.",
    "padding pairs": "The mask between tiles leaves out pairs of two padded tokens, which the ledger requires; it is "
    "made by a product of two vectors, 2(t·n)² an image.",
    "constant input": "The gradient of pixels or sounds is not asked for.",
}


class Reader:
    """The parts of one result, and what the rules find in them: {cause: {line: [full, required]}}."""

    def __init__(self, case, result):
        self.case, self.result = case, result
        self.train, self.decode = case.train, case.cached is not None
        self.lines = {pair.line for pair in result.pairs}
        self.found = {}

    def add(self, cause, line, full, required):
        sums = self.found.setdefault(cause, {}).setdefault(line, [0, 0])
        sums[0] += int(full)
        sums[1] += int(required)

    def read(self):
        for line, leaf, times in self.result.parts:
            for op in leaf.part.ops(self.result.works[leaf.stream]):
                if op.engine == "matrix":
                    self.op(line, leaf.part, op, times)
        self.elsewhere()
        special(self)
        kept = {cause: {n: tuple(v) for n, v in by.items() if any(v)} for cause, by in self.found.items()}
        return {cause: by for cause, by in kept.items() if by}

    def op(self, line, part, op, times):
        silent = self.train and ".indexer" in line
        grown = 3 if self.train and not silent else 1
        if silent:
            self.add("no gradient", line, -2 * times * op.full, -2 * times * op.required)
        self.whole(line, part, op, times * grown)
        if self.decode:
            self.step(line, part, op, times)
        if self.train and line.endswith(INPUTS):
            self.add("constant input", line, -times * op.full, -times * op.required)
        for kind, rule in RULES.items():
            if isinstance(part, kind):
                rule(self, line, part, op, times, grown)

    def whole(self, line, part, op, times):
        """Work that a program does in a form from which what is required cannot be told."""
        if not (op.core and op.name in SOFTMAX) or isinstance(part, IndexCore):
            self.add(form(part), line, 0, times * (op.full - op.required))
        elif self.decode and part.mask.window:
            past = self.case.cached + self.case.seq
            held = min(part.mask.window, past)
            self.add("window in the cache", line, -times * op.full * (past - held) // past, 0)

    def step(self, line, part, op, times):
        """What a step does otherwise than a prompt."""
        if isinstance(part, Conv) and part.causal:
            self.add("cut positions", line, times * op.full, times * op.full)
        if isinstance(part, LatentUp):
            more = times * op.full * self.case.cached // self.case.seq
            self.add("expanded", line, more, more)
        share = {GatedDelta: 1, SelectiveScan: 2, StateSpaceDual: 2}.get(type(part))
        if share:
            self.add("scan", line, -times * op.full // share, -times * op.full // share)

    def elsewhere(self):
        """Lines where nothing ran although the ledger has work: it ran in the module around."""
        sums = {}
        for pair in self.result.pairs:
            mine = sums.setdefault(pair.line, [0, 0, 0])
            for i, n in enumerate((pair.counted.flops.executed, pair.ledger.full, pair.ledger.required)):
                mine[i] += int(n)
        for line, (ran, full, required) in sums.items():
            if full and not ran and f"{line}.scorer" not in self.lines:
                self.add("other module", line, -full, -required)
                self.add("other module", self.above(line), full, required)

    def above(self, line):
        while True:
            line = line.rpartition(".")[0]
            if line in self.lines:
                return line


def form(part):
    """The cause that lets an op's required work count as `full`, where the two differ."""
    if isinstance(part, IndexCore):
        return "indexer"
    if isinstance(part, Conv | NormedConv):
        return "cut positions"
    return "average" if isinstance(part, SquareAverage) else "scan"


def idle(reader, line, part, op, times, grown):
    if reader.case.raw["model_type"].startswith("llama4"):
        more = times * grown * op.full * (part.experts - part.visited) // part.visited
        reader.add("idle experts", line, more, more)


def scored(reader, line, part, op, times, grown):
    inner = f"{line}.scorer"
    if inner in reader.lines:
        each = times * grown * op.full
        reader.add("other module", line, -each, -each)
        reader.add("other module", inner, each, each)


def delta(reader, line, part, op, times, grown):
    if reader.decode:
        return
    size, e, v = part.chunk, part.key_width, part.value_width
    heads = times * reader.case.batch * part.heads
    chunks = -(-reader.case.seq // size) * heads
    if not part.per_channel:
        solve = size * (size - 1) * (e + v)
        more = chunks * (solve + (solve + 2 * size * size * (e + v) if reader.train else 0))
        reader.add("triangle", line, more, more)
    if reader.train:
        less = -heads * 4 * 2 * size * e * v
        reader.add("empty state", line, less, less)


def lightning(reader, line, part, op, times, grown):
    if reader.train:
        first = min(part.block, reader.case.seq)
        last = (reader.case.seq - 1) % part.block + 1
        less = -times * reader.case.batch * part.heads * 2 * part.width**2 * (first + 2 * last)
        reader.add("empty state", line, less, less)


def twice(reader, line, part, op, times, grown):
    if op.name == "scores" and not reader.decode:
        reader.add("scores twice", line, 0, times * grown * op.required)


def mixed(reader, line, part, op, times, grown):
    """DeepSeek V4 mixes its streams in the layer; HY V4 does it in the module that holds the weights."""
    if op.name == "mix" and reader.case.raw["model_type"] == "deepseek_v4":
        each = times * grown * op.full
        reader.add("other module", line, -each, -each)
        reader.add("other module", reader.above(line), each, each)


RULES = {
    HyperConnection: mixed, Experts: idle, IndexCore: scored, GatedDelta: delta, LightningCore: lightning,
    DifferentialCore: twice,
}  # fmt: skip


def special(reader):
    """What one family does otherwise."""
    kind = reader.case.raw["model_type"]
    if kind == "gemma4_text":
        inclusive(reader)
    if kind == "mllama" and not reader.decode:
        padded = 2 * 2 * (2 * 40) ** 2
        reader.add("padding pairs", "model.vision_model", padded, padded)
        # two images of two tiles with three padded tokens each, width 24
        for name, layers in (("transformer", 3), ("global_transformer", 2)):
            reader.add("padding pairs", f"model.vision_model.{name}.layers.*.self_attn", 0, -layers * 2 * 6**2 * 4 * 24)
    if reader.case.raw.get("share_att_key"):
        # positions go through the projections of queries and keys: 2·8 positions, 24 wide, 3 layers
        at, each = "deberta.encoder.layer.*.attention.self", (3 if reader.train else 1) * 3 * 2 * 8 * 24 * 24
        for name, more in ((at, -2 * each), (f"{at}.query_proj", each), (f"{at}.key_proj", each)):
            reader.add("other module", name, more, more)
        if reader.train:
            reader.add("no gradient", f"{at}.key_proj", -2 * each // 3, -2 * each // 3)


def inclusive(reader):
    for line, leaf, times in reader.result.parts:
        mask = getattr(leaf.part, "mask", None)
        if isinstance(mask, Both):
            pairs = 2 * (reader.case.seq - mask.reach - 1) * reader.case.batch * leaf.part.heads * times
            more = pairs * 2 * (leaf.part.key_width + leaf.part.value_width) * (3 if reader.train else 1)
            reader.add("inclusive window", line, 0, more)
