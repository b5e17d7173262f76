"""Why a count of a running program and the ledger may differ, and by how much exactly.

`required`   where a program multiplies in a form from which the counter cannot tell what the model asks for, the whole
             counts: each such op adds full - required of the ledger.
`full`       where the program itself does other work than the ledger's, number by number.

A cause that explains nothing any more fails its test, like a difference that no cause explains.
"""

from dataclasses import dataclass

from flopsight.models.counting import SOFTMAX
from flopsight.parts.averaging import SquareAverage
from flopsight.parts.conv import Conv
from flopsight.parts.normed_conv import NormedConv
from flopsight.parts.routed import IndexCore

FORM = {
    "eager": "the family has no fused attention here: scores, softmax and mix are products of the whole square",
    "unfused": "the fused kernel of the CPU does not take these shapes (values of another width than keys, one key "
    "head for many queries by broadcasting), so PyTorch multiplies the whole square",
    "indexer": "the scores that choose keys are a product of the whole square",
    "scan": "the recurrence runs as PyTorch's slow path: chunks with squares of their own, or steps on the vector "
    "engine",
    "average": "an average over neighbours is a product with a matrix that is mostly zeros",
    "cut positions": "a short convolution pads both ends and cuts the surplus positions off",
}
WORK = {
    "parent": "a module's weights are used by the module around it, which is where the product runs: the sum agrees",
    "idle experts": "the eager code runs every expert on every token",
    "triangle": "the inverse inside a chunk is a triangular solve, which `full` leaves out: L(L-1)(e+v) a chunk and "
    "head",
    "padding pairs": "the mask between tiles leaves out pairs of two padded tokens, which the ledger requires; it is "
    "made by a product of two vectors, 2(t·n)² an image",
    "scores twice": "the framework computes the scores once for each half of the values",
    "inclusive window": "the mask of an encoder reaches one token further on either side than flash attention's window",
}


def kind_of(op, part, attention):
    """The cause that lets an op count as `full`, where it does."""
    if isinstance(part, IndexCore):
        return "indexer"
    if isinstance(part, Conv | NormedConv):
        return "cut positions"
    if isinstance(part, SquareAverage):
        return "average"
    if op.core and op.name in SOFTMAX:
        return "eager" if attention == "eager" else "unfused"
    return "scan"


def by_form(result):
    """{line: full - required} and the causes, of every op that a program ran in the form of the `full` column."""
    fused = {row_line for row_line, op in result.ran if "attention" in op}
    found, causes = {}, set()
    for line, leaf, times in result.parts:
        for op in leaf.part.ops(result.works[leaf.stream]):
            more = int(times * (op.full - op.required)) if op.engine == "matrix" else 0
            cause = kind_of(op, leaf.part, result.attention)
            if more and not (cause in ("eager", "unfused") and line in fused):
                found[line] = found.get(line, 0) + more
                causes.add(cause)
    return {line: n for line, n in found.items() if n}, causes


@dataclass(frozen=True)
class Other:
    """A difference of the work itself: what is counted more than the ledger says, by line.

    required   where it is another than that of `full`
    """

    cause: str
    full: dict
    required: dict | None = None

    @property
    def needed(self):
        return self.full if self.required is None else self.required


def moved(parent, each, *names):
    """Products of `each` FLOPs of modules named below `parent` that run in it."""
    return {parent: each * len(names), **{f"{parent}.{name}": -each for name in names}}


def hyper(prefix, spans, each):
    """DeepSeek V4's hyper-connections around both halves of a layer, `each` FLOPs a half and layer."""
    found = {}
    for span, count in spans.items():
        found |= moved(f"{prefix}.{span}", count * each, "attn_hc", "ffn_hc")
    return found


def altup(spans, each):
    found = {}
    for span, count in spans.items():
        found |= moved(f"model.layers.{span}", count * each, "altup")
    return found


def scored(*layers):
    """The indexer's scores run in a module of their own; its square by the causal rate of 4: 16 for 10 positions."""
    found = {}
    for layer in layers:
        at = f"model.layers.{layer}.self_attn.compressor.indexer"
        found |= {at: -7296, f"{at}.scorer": 7296}
    return found


def solved(line, layers, heads, widths, batch=2):
    """One chunk of 64 a sequence."""
    return Other("triangle", {line: layers * batch * heads * 64 * 63 * widths})


NEXT = "model.layers.0-2,4.linear_attn"
OTHER = {
    "diffllama": Other("scores twice", {}, {"model.layers.*.self_attn": 4 * 2 * 190 * 2 * 32}),
    "diffllama 2": Other("scores twice", {}, {"model.layers.*.self_attn": 4 * 2 * 190 * 2 * 32}),
    "doge 3": Other("parent", moved("model.layers.*.mlp", 29184, "down_embed", "up_embed")),
    "deepseek_v4": Other(
        "parent",
        hyper("model.layers", {"0": 1, "1": 1, "2,5": 2, "3": 1, "4": 1}, 16416) | scored(1, 3),
    ),
    "deepseek_v4 2": Other("parent", hyper("model.layers", {"0-2": 3, "3": 1, "4": 1}, 29184) | scored(3)),
    "llama4_text": Other(
        "idle experts",
        {
            f"model.layers.{i}.feed_forward.experts": len(i.split(",")) * 5 * 6 * 2 * 19 * 24 * 20
            for i in ("1,5", "3")
        },
    ),
    "llama4_text 2": Other(
        "idle experts", {f"model.layers.{i}.feed_forward.experts": 5 * 6 * 2 * 19 * 24 * 20 for i in (0, 4)}
    ),
    "qwen3_next: qwen3 next": solved(NEXT, 4, 4, 16),
    "qwen3_next: qwen3 next, some dense": solved("model.layers.0,2,4.linear_attn", 3, 4, 16),
    "qwen3_5_text: qwen3.5": solved(NEXT, 4, 4, 16),
    "qwen3_5_moe_text: qwen3.5 moe": solved(NEXT, 4, 4, 16),
    "olmo_hybrid: olmo hybrid": solved(NEXT, 4, 4, 18),
    "olmo_hybrid: olmo hybrid listed": solved("model.layers.1,3-4.linear_attn", 3, 4, 16),
    "qwen3_5": solved("model.language_model.layers.0,2.linear_attn", 2, 4, 16, batch=1),
    "gemma 3n": Other("parent", altup({"0-2": 3, "3": 1, "4": 1, "5-7": 3}, 43776)),
    "gemma 3n unshared, untied, biased": Other("parent", altup({"0-3,5-7": 7, "4": 1}, 43776)),
    "gemma 3n by default patterns": Other("parent", altup({"0-2": 3, "3": 1, "4": 1, "5": 1, "6-7": 2}, 19456)),
    # 14 more places on either side of the diagonal, 19 - 5 of them inside
    "gemma 4 as an encoder": Other(
        "inclusive window", {}, {"model.layers.0-4,6.self_attn": 6 * 2 * 2 * 14 * 4 * 4 * 12}
    ),
    "deberta-v2 positions": Other(
        "parent",
        {
            "deberta.encoder.layer.*.attention.self": -55296,
            "deberta.encoder.layer.*.attention.self.query_proj": 27648,
            "deberta.encoder.layer.*.attention.self.key_proj": 27648,
        },
    ),
    "mllama": Other(
        "padding pairs", {"model.vision_model": 2 * 2 * (2 * 40) ** 2},
        {
            "model.vision_model": 2 * 2 * (2 * 40) ** 2,
            # 2 tiles of 3 padded tokens, 2 images
            "model.vision_model.transformer.layers.*.self_attn": -3 * 2 * 36 * 4 * 24,
            "model.vision_model.global_transformer.layers.*.self_attn": -2 * 2 * 36 * 4 * 24,
        },
    ),
}  # fmt: skip
"""name of a case: what its program does otherwise."""
