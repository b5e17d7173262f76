"""wav2vec 2.0 and HuBERT: convolutions over the raw wave, then an encoder. A token is a frame of 20 ms."""

from __future__ import annotations

from collections.abc import Callable

from flopsight.expr import Number
from flopsight.models.blocks.attention import Attention
from flopsight.models.blocks.decoder import block
from flopsight.models.blocks.encoder import NO_DECODE, classifier, head_of, labels
from flopsight.models.blocks.mlp import plain_mlp
from flopsight.models.config import Config
from flopsight.models.tree import STREAMS, Model, Node, StreamRule, branch, leaf, stack
from flopsight.parts.conv import Conv
from flopsight.parts.linear import Linear, Parameter
from flopsight.parts.masks import Full
from flopsight.parts.norm import Norm
from flopsight.parts.normed_conv import NormedConv
from flopsight.workload import Work, Workload

FRAMES = "The length is counted in frames behind the convolutions (20 ms each in the usual configuration)."


def convolutions(c: Config) -> list[tuple[int, int, int]]:
    """(channels, taps, stride) of each convolution over the wave."""
    found = [c.ints(f"conv_{k}", least=1) or () for k in ("dim", "kernel", "stride")]
    c.ignore("num_feat_extract_layers")
    if not found[0] or len({len(f) for f in found}) != 1:
        raise c.fail("conv_dim", list(found[0]), "as long as conv_kernel and conv_stride, and not empty")
    return list(zip(*found, strict=True))


def streams(convs: list[tuple[int, int, int]], adapters: int, stride: int) -> dict[str, StreamRule]:
    """Positions behind every convolution, reckoned back from the frames that come out; and behind each adapter."""

    def behind(index: int) -> Callable[[Workload], Work]:
        def rule(w: Workload) -> Work:
            length: Number = w.seq
            for _, taps, step in reversed(convs[index + 1 :]):
                length = (length - 1) * step + taps
            return Work(w.batch, length)

        return rule

    def adapted(times: int) -> Callable[[Workload], Work]:
        def rule(w: Workload) -> Work:
            length: Number = w.seq
            for _ in range(times):
                length = (length - 1) // stride + 1
            return Work(w.batch, length)

        return rule

    found: dict[str, StreamRule] = {f"conv{i}": behind(i) for i in range(len(convs))}
    return {**STREAMS, **found, **{f"adapter{i}": adapted(i + 1) for i in range(adapters)}}


def front(c: Config, convs: list[tuple[int, int, int]]) -> Node:
    """The convolutions; a norm behind the first ("group") or behind each ("layer")."""
    form = c.word("feat_extract_norm", default="group")
    if form not in ("group", "layer"):
        raise c.fail("feat_extract_norm", form, "group or layer")
    bias, channels, layers = c.flag("conv_bias", default=False), 1, []
    for i, (out, taps, _) in enumerate(convs):
        norm = Norm(out, "layer", bias=True, kind="frontend")
        normed = leaf("layer_norm", norm, place="frontend") if form == "layer" or i == 0 else None
        conv = leaf("conv", Conv("frontend", channels, out, (taps,), bias))
        layers.append(branch(str(i), conv, normed, stream=f"conv{i}"))
        channels = out
    return branch("feature_extractor", branch("conv_layers", *layers))


def projection(c: Config, channels: int, width: int) -> Node:
    """A norm and a matrix from channels to the model's width."""
    normed = c.model_type != "hubert" or c.flag("feat_proj_layer_norm", default=True)
    norm = Norm(channels, "layer", bias=True, kind="frontend")
    return branch(
        "feature_projection",
        leaf("layer_norm", norm, place="frontend") if normed else None,
        leaf("projection", Linear("frontend", channels, width, True)),
    )


def encoder(c: Config, width: int) -> Node:
    """A convolution for positions, and the layers."""
    taps, groups = c.int("num_conv_pos_embeddings"), c.int("num_conv_pos_embedding_groups")
    if width % groups:
        raise c.fail("num_conv_pos_embedding_groups", groups, f"a divisor of the width {width:,}")
    # an even kernel makes one position too many, which is cut off
    conv = NormedConv(Conv("embedding", width, width, (taps,), groups=groups, extra=1 - taps % 2))
    norm = Norm(width, "layer", bias=True)
    return branch(
        "encoder",
        branch("pos_conv_embed", leaf("conv", conv)),
        leaf("layer_norm", norm, place="final" if c.flag("do_stable_layer_norm", default=False) else "embedding"),
        stack("layers", [layer(c, width, norm)] * c.layers()),
    )


def layer(c: Config, width: int, norm: Norm) -> Node:
    """Attention and feed-forward, a norm for each; before them where `do_stable_layer_norm` is set."""
    heads, stable = c.heads(width), c.flag("do_stable_layer_norm", default=False)
    mixer = Attention(
        width, heads, heads, width // heads, names=("q_proj", "k_proj", "v_proj", "out_proj"), biases=(True,) * 4,
        mask=Full(), cached=False,
    ).node("attention")  # fmt: skip
    inner, activate = c.int("intermediate_size"), c.word("hidden_act", default="gelu")
    ffn = plain_mlp(width, inner, "feed_forward", names=("intermediate_dense", "output_dense"), activate=activate)
    first, second = (leaf(n, norm, place="pre" if stable else "post") for n in ("layer_norm", "final_layer_norm"))
    order = (first, mixer, second, ffn) if stable else (mixer, first, ffn, second)
    return block(*order, _bottleneck(c, width) if stable else None, width=width)


def _bottleneck(c: Config, width: int) -> Node | None:
    inner = c.maybe("adapter_attn_dim")
    if not inner:
        return None
    return branch(
        "adapter_layer",
        leaf("norm", Norm(width, "layer", bias=True), place="pre"),
        plain_mlp(width, inner, "", names=("linear_1", "linear_2"), activate="relu"),
    )


def adapter(c: Config, width: int, out: int, count: int) -> Node:
    """Strided convolutions with gates that shorten the sequence, behind a projection if the width changes."""
    conv = Conv("projector", out, 2 * out, (c.int("adapter_kernel_size"),))
    proj = (
        leaf("proj", Linear("projector", width, out, True)),
        leaf("proj_layer_norm", Norm(out, "layer", bias=True, kind="projector"), place="projector"),
    )
    layers = [branch(str(i), leaf("conv", conv), stream=f"adapter{i}") for i in range(count)]
    return branch("adapter", *(proj if out != width else ()), branch("layers", *layers))


def heads(c: Config, head: str, width: int, last: str | None) -> tuple[Node, ...] | None:
    """The head that `architectures` names."""
    if head == "Model":
        return ()
    if head == "CTC":
        return (leaf("lm_head", Linear("lm_head", width, c.int("vocab_size"), True), stream=last),)
    if head == "SequenceClassification":
        inner = c.int("classifier_proj_size")
        found = (leaf("projector", Linear("other", c.int("hidden_size"), inner, True), stream=last),)
        return (*_weights(c), *found, classifier(inner, labels(c)))
    if head == "AudioFrameClassification":
        return (*_weights(c), classifier(c.int("hidden_size"), labels(c), stream=last))
    return None


def _weights(c: Config) -> tuple[Node, ...]:
    if not c.flag("use_weighted_layer_sum", default=False):
        return ()
    return (leaf("layer_weights", Parameter("other", (c.layers() + 1,))),)


def wav2vec2(c: Config) -> Model:
    """Convolutions, projection, positions, layers, and perhaps an adapter."""
    width, convs, head = c.int("hidden_size"), convolutions(c), head_of(c, "Model")
    adapted = c.model_type == "wav2vec2" and c.flag("add_adapter", default=False)
    count = c.int("num_adapter_layers") if adapted else 0
    out = (c.maybe("output_hidden_size") or width) if adapted else width
    last = f"adapter{count - 1}" if adapted else None
    beside = heads(c, head, out, last)
    masked = any(_share(c, k, d) for k, d in (("mask_time_prob", 0.05), ("mask_feature_prob", 0.0)))
    body = (
        leaf("masked_spec_embed", Parameter("embedding", (width,))) if masked else None,
        front(c, convs),
        projection(c, convs[-1][0], width),
        encoder(c, width),
        adapter(c, width, out, count) if adapted else None,
    )
    unknown = [] if beside is not None else [f"The head of {head} is not known; the body alone is counted."]
    if c.model_type == "hubert" and c.flag("conv_pos_batch_norm", default=False):
        unknown.append("The batch norm before the positional convolution is not counted.")
    root = branch("", branch("" if head == "Model" or beside is None else c.model_type, *body), *(beside or ()))
    return Model(
        "", c.model_type, root, streams=streams(convs, count, c.int("adapter_stride", default=1)),
        notes=(FRAMES, NO_DECODE), unknown=tuple(unknown),
    )  # fmt: skip


def _share(c: Config, key: str, default: float) -> bool:
    value = c.get(key, default=default)
    return isinstance(value, int | float) and value > 0


FAMILIES = {"wav2vec2": wav2vec2, "hubert": wav2vec2}
