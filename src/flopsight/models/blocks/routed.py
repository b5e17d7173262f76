"""What decoders with routed experts share: which layers are routed, shared experts, correction biases, windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import causal_lm
from flopsight.models.blocks.mlp import gated_mlp
from flopsight.models.config import Config
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.linear import Buffer, Embedding, Linear, Parameter
from flopsight.parts.masks import Causal, Mask, Window
from flopsight.parts.moe import Experts
from flopsight.parts.norm import Norm
from flopsight.parts.part import Part

TOP = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk", "moe_top_k", "moe_k")
COUNT = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
FULL, SLIDING = "full_attention", "sliding_attention"


def routed(c: Config, width: int, inner: int, *, count: Sequence[str] = COUNT) -> Experts:
    """Experts read from the usual keys; a token never visits more than there are."""
    experts = c.int(*count)
    return Experts(experts, c.int(*TOP, most=experts), width, inner, activation=c.word("hidden_act", default="silu"))


def shared(width: int, inner: int, name: str = "shared_experts") -> Node | None:
    """Shared experts as one MLP that every token visits; None if there are none."""
    return gated_mlp(width, inner, name, kind="shared_experts") if inner else None


def correction(count: int, path: str = "gate.e_score_correction_bias", *, stored: bool = False) -> Node:
    """One value an expert, added to its score before the choice: a buffer, or a parameter where `stored`."""
    steps = path.split(".")
    part: Part = Parameter("router", (count,), count) if stored else Buffer("router", (count,))
    node = leaf(steps[-1], part)
    for step in reversed(steps[:-1]):
        node = branch(step, node)
    return node


def sparse_layers(c: Config, first: int = 0) -> list[bool]:
    """Which layers are routed: `mlp_layer_types`, else `moe_layer_freq` from `first_k_dense_replace` on."""
    count = c.layers()
    kinds = c.words("mlp_layer_types", count=count)
    start = c.maybe("first_k_dense_replace", least=0)
    start = first if start is None else start
    steps = c.get("moe_layer_freq", default=None)
    if kinds is not None:
        return [kind != "dense" for kind in kinds]
    if isinstance(steps, list):
        return listed_layers(c, "moe_layer_freq", count)
    step = c.maybe("moe_layer_freq") or 1
    return [i >= start and i % step == 0 for i in range(count)]


def listed_layers(c: Config, key: str, count: int) -> list[bool]:
    """A list of zeros and ones, one for each layer."""
    flags = c.ints(key) or ()
    if len(flags) < count:
        raise c.fail(key, list(flags), f"a list with one number for each of the {count} layers")
    return [bool(flag) for flag in flags[:count]]


def alternate(kinds: Sequence[bool], sparse: Node, dense: Callable[[], Node]) -> list[Node]:
    """The feed-forward block of every layer; `dense` is asked for only where a layer needs it."""
    plain = sparse if all(kinds) else dense()
    return [sparse if kind else plain for kind in kinds]


def window_size(c: Config, *names: str) -> int | None:
    """A window's size, or None where it is absent, null or zero."""
    return c.maybe(*(names or ("sliding_window",)), least=0) or None


def masks(c: Config, slides: Callable[[int], bool], size: int | None, *, full: Sequence[str] = (FULL,)) -> list[Mask]:
    """Causal or window by `layer_types`, or by the family's own rule where the config has no list."""
    count = c.layers()
    types = c.words("layer_types", count=count)
    for kind in types or ():
        if kind not in (*full, SLIDING):
            raise c.fail("layer_types", kind, f"a list of {', '.join(full)} and {SLIDING}")
    sliding = [t == SLIDING for t in types] if types else [slides(i) for i in range(count)]
    return [Window(size) if size and slide else Causal() for slide in sliding]


def gqa(
    c: Config,
    width: int,
    mask: Mask = Causal(),  # noqa: B008 - frozen and without fields
    *,
    bias: bool | None = None,
    output_bias: bool | None = None,
    qk_norm: str = "",
    heads: int = 0,
    rotary: bool = True,
    kv: tuple[str, ...] = (),
) -> Attention:
    """Grouped-query attention from the usual keys; `attention_bias` decides what `bias` does not."""
    heads = heads or c.heads(width)
    e = c.head_dim(width, heads)
    biased = c.flag("attention_bias", default=False) if bias is None else bias
    out = biased if output_bias is None else output_bias
    return Attention(
        width, heads, c.kv_heads(heads, *kv), e, biases=(biased, biased, biased, out), qk_norm=qk_norm,
        rotary=e if rotary else 0, mask=mask,
    )  # fmt: skip


def sinks(heads: int) -> Node:
    """One learned score a head that takes part in the softmax and in nothing else."""
    return leaf("sinks", Parameter("attention", (heads,), heads))


def lm(c: Config, layers: list[Node], width: int, **more: object) -> Model:
    """The usual decoder around `layers`: embedding, final RMSNorm, head."""
    options = {"norm": Norm(width), "family": c.model_type, "notes": ()} | more
    if mtp_count(c):
        options["notes"] = (*options["notes"], UNCOUNTED)  # type: ignore[misc]
    return causal_lm(layers, vocab=c.int("vocab_size"), width=width, tied=c.tied(), **options)  # type: ignore[arg-type]


UNCOUNTED = "The layers that predict further tokens are not counted: the config does not describe them."
MTP_KEYS = ("num_nextn_predict_layers", "num_mtp_layers", "num_mtp_modules", "mtp_num_hidden_layers")


def mtp_count(c: Config) -> int:
    """Layers that predict further tokens: as the file says; a class default is no sign that the checkpoint has any."""
    return (c.maybe(*MTP_KEYS, least=0, most=64) or 0) if c.has(*MTP_KEYS) else 0


def mtp_layer(
    layer: Node,
    width: int,
    vocab: int,
    *,
    names: tuple[str, str, str] = ("enorm", "hnorm", "eh_proj"),
    last: str = "shared_head.norm",
) -> Node:
    """One layer that predicts a further token: two norms, [2d -> d], a decoder layer, a norm, the shared head.

    The embedding and the head are the main model's (some checkpoints store a second copy of both).
    """
    ends = branch("shared_head", leaf("head", Linear("lm_head", width, vocab, tied=True), stream="scored"))
    *path, final = last.split(".")
    norm = leaf(final, Norm(width), place="final")
    for step in reversed(path):
        norm = branch(step, norm)
    return replace(
        layer,
        children=(
            leaf("embed_tokens", Embedding(vocab, width, tied=True)),
            leaf(names[0], Norm(width), place="pre"),
            leaf(names[1], Norm(width), place="pre"),
            leaf(names[2], Linear("other", 2 * width, width)),
            *layer.children,
            norm,
            ends,
        ),
    )


def with_mtp(
    c: Config,
    model: Model,
    layer: Node,
    width: int,
    *,
    prefix: str = "model.layers",
    start: int | None = None,
    **more: object,
) -> Model:
    """The model with its further-token layers beside it, numbered after the last layer as checkpoints do."""
    count = mtp_count(c)
    if not count:
        return model
    first = c.layers() if start is None else start
    extra = mtp_layer(layer, width, c.int("vocab_size"), **more)  # type: ignore[arg-type]
    *path, last = prefix.split(".")
    node = Node(last, children=(replace(extra, name="", copies=tuple(range(first, first + count))),))
    for step in reversed(path):
        node = branch(step, node)
    return replace(model, mtp=node, notes=tuple(n for n in model.notes if n != UNCOUNTED))
