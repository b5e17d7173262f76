"""The model of a row: a bundled config where name and dimensions agree, else a tree built from the dimensions given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from flopsight.errors import FlopsightError
from flopsight.facts import Unknown
from flopsight.models.blocks.attention import Attention, LatentAttention
from flopsight.models.blocks.decoder import causal_lm, pre_norm_layer
from flopsight.models.blocks.mlp import gated_mlp, moe, plain_mlp
from flopsight.models.blocks.routed import mtp_layer
from flopsight.models.ledger import ledger
from flopsight.models.load import build, bundled, load
from flopsight.models.tree import Model, Node, branch, leaf
from flopsight.parts.linear import Embedding
from flopsight.parts.masks import Causal, Mask, Window
from flopsight.parts.moe import Experts
from flopsight.parts.norm import Norm
from flopsight.validate.rows import Row

GATED: Final = ("swiglu", "geglu", "silu-gated")
LARGEST: Final = 10**7
NEEDED: Final = ("layers", "d_model", "heads", "vocab")
NUMBERS: Final = (
    "layers", "d_model", "heads", "kv_heads", "head_dim", "d_ff", "vocab", "experts", "experts_per_token", "moe_d_ff",
    "shared_experts", "first_k_dense", "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim",
    "v_head_dim", "mtp_layers", "learned_pos", "max_seq_len_learned_pos",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of a row's `model`; 0 where the row does not give one.

    window  tokens a layer looks back, if the row prints a number
    gated   three matrices in the MLP
    """

    name: str
    mlp: str
    tied: bool
    window: int
    dims: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        return self.dims.get(name, 0)

    @property
    def gated(self) -> bool:
        """Whether the MLP has a gate; an unnamed one of experts has (every routed decoder here does)."""
        return self.mlp in GATED or (not self.mlp and self["experts"] > 0)

    @property
    def key(self) -> tuple[Any, ...]:
        """What two rows of one model share."""
        return (self.name, self.mlp, self.tied, self.window, tuple(sorted(self.dims.items())))


def shape_of(row: Row) -> Shape:
    """The shape of a row; words and lists count as not given, BadFile for numbers that are none."""
    dims = {name: value for name in NUMBERS if (value := _dim(row, name))}
    window = row.model.get("sliding_window")
    return Shape(
        _text(row, "name"), _text(row, "mlp"), row.model.get("tied_embeddings") is True,
        window if isinstance(window, int) and not isinstance(window, bool) and 0 < window < LARGEST else 0, dims,
    )  # fmt: skip


def _dim(row: Row, name: str) -> int:
    value = row.model.get(name)
    if value is None or value == 0 or isinstance(value, str | list):
        return 0
    found = row.whole(row.model, name) or 0
    if found > LARGEST:
        raise row.wrong(name, value, f"at most {LARGEST:,}")
    return found


def _text(row: Row, name: str) -> str:
    value = row.model.get(name)
    return value.lower() if isinstance(value, str) else ""


def window_unprinted(row: Row) -> bool:
    """Whether the row says that windows were used and not how long they are."""
    return isinstance(row.model.get("sliding_window"), str)


_MOST_MODELS: Final = 512
_MADE: dict[tuple[Any, ...], Model | Unknown] = {}


def model_of(row: Row) -> Model | Unknown:
    """The model of a row, or what is missing to build it."""
    shape = shape_of(row)
    if len(_MADE) > _MOST_MODELS:
        _MADE.clear()
    if shape.key not in _MADE:
        _MADE[shape.key] = _made(shape)
    return _MADE[shape.key]


def _made(shape: Shape) -> Model | Unknown:
    found: Model | Unknown | None = _named(shape)
    found = _family(shape) if found is None else found
    return _built(shape) if found is None else found


# ------------------------------------------------------------ by name


def plain(name: str) -> str:
    """A name without what people write differently: "Qwen3-30B-A3B" -> "qwen330ba3b"."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@lru_cache(1)
def _bundled_names() -> dict[str, str]:
    return {plain(name): name for name in bundled()}


def named(name: str) -> Model | None:
    """The bundled model of that name, however it is punctuated."""
    found = _bundled_names().get(plain(name))
    return load(found) if found else None


def _named(shape: Shape) -> Model | None:
    model = named(shape.name)
    return model if model is not None and _agrees(model, shape) else None


def _agrees(model: Model, shape: Shape) -> bool:
    """Whether vocabulary and width are those of the row, where it gives them."""
    tables = [one.part for one in ledger(model).leaves if isinstance(one.part, Embedding)]
    if not tables:
        return False
    pairs = ((shape["vocab"], tables[0].rows), (shape["d_model"], tables[0].width))
    return all(given in (0, ours) for given, ours in pairs) and _layers_agree(model, shape)


def _layers_agree(model: Model, shape: Shape) -> bool:
    stacked = {len(steps) for steps in _copies(model.root) if steps}
    total = sum(len(steps) for steps in _copies(model.root))
    return not shape["layers"] or shape["layers"] in stacked or shape["layers"] == total


def _copies(node: Node) -> list[tuple[int, ...]]:
    """The index lists of the outermost numbered layers."""
    if node.copies is not None:
        return [node.copies]
    return [found for child in node.children for found in _copies(child)]


# ------------------------------------------------------------ families whose rule a row does not spell out


def _gpt_oss(s: Shape) -> dict[str, Any]:
    """Windows on every other layer, biases, sinks: rules of the family."""
    return _config(s, "gpt_oss") | {"sliding_window": s.window or 128, "intermediate_size": s["moe_d_ff"] or s["d_ff"]}


def _maverick(s: Shape) -> dict[str, Any]:
    """Every other layer routed with one shared expert, the others dense and twice as wide.

    meta-llama/Llama-4-Maverick-17B-128E config.json: interleave_moe_layer_step 2, intermediate_size_mlp 16384.
    """
    extra = {"interleave_moe_layer_step": 2, "intermediate_size_mlp": 2 * s["d_ff"], "attention_chunk_size": 8192}
    return _config(s, "llama4_text") | extra


def _scout(s: Shape) -> dict[str, Any]:
    """Every layer routed with one shared expert."""
    extra = {"interleave_moe_layer_step": 1, "intermediate_size_mlp": 2 * s["d_ff"], "attention_chunk_size": 8192}
    return _config(s, "llama4_text") | extra


SUPER: Final = "MEMEMEM*E" * 3 + "MEMEMEMEM*E" * 4 + "MEMEMEM*EMEMEMEME"


def _nemotron_super(s: Shape) -> dict[str, Any]:
    """Mamba-2 (M), experts in a latent space (E) and attention (*), one layer each.

    nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16 config.json: hybrid_override_pattern, moe_latent_size 1024,
    moe_shared_expert_intermediate_size 5376, 128 Mamba heads of 64 with 128 states in 8 groups. Training runs its one
    further-token layer twice (Megatron-LM's hybrid-layer-pattern ends in "/*E/*E", mtp-use-repeated-layer).
    """
    extra = {
        "hybrid_override_pattern": SUPER, "moe_latent_size": 1024, "n_routed_experts": s["experts"],
        "moe_intermediate_size": s["moe_d_ff"], "moe_shared_expert_intermediate_size": 2 * s["moe_d_ff"],
        "n_shared_experts": 1, "mamba_num_heads": 128, "mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 8,
        "expand": 2, "conv_kernel": 4, "chunk_size": 128, "mlp_hidden_act": "relu2",
        "num_nextn_predict_layers": 2 * s["mtp_layers"], "mtp_hybrid_override_pattern": "*E",
    }  # fmt: skip
    return {name: value for name, value in _config(s, "nemotron_h").items() if name != "num_local_experts"} | extra


def _qwen35(s: Shape) -> dict[str, Any]:
    """Every fourth layer attends with a gate, the others are gated delta nets of 16 key and 64 value heads of 128.

    Qwen/Qwen3.5-397B-A17B config.json, text_config.
    """
    extra = {
        "full_attention_interval": 4, "attn_output_gate": True, "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 64,
        "linear_value_head_dim": 128, "num_experts": s["experts"], "moe_intermediate_size": s["moe_d_ff"],
        "shared_expert_intermediate_size": s["moe_d_ff"], "mtp_num_hidden_layers": s["mtp_layers"],
        "rope_parameters": {"partial_rotary_factor": 0.25}, "layer_types": None,
    }  # fmt: skip
    dropped = ("num_local_experts", "intermediate_size")
    return {name: value for name, value in (_config(s, "qwen3_5_moe_text") | extra).items() if name not in dropped}


def _glm5(s: Shape) -> dict[str, Any]:
    """Latent attention over the 2048 tokens that an indexer of 32 heads of 128 picks; zai-org/GLM-5 config.json."""
    names = ("kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    extra = {
        "n_routed_experts": s["experts"], "moe_intermediate_size": s["moe_d_ff"], "index_topk": 2048,
        "n_shared_experts": s["shared_experts"], "first_k_dense_replace": s["first_k_dense"], "index_n_heads": 32,
        "index_head_dim": 128, "num_nextn_predict_layers": s["mtp_layers"],
    }  # fmt: skip
    kept = {name: value for name, value in _config(s, "glm_moe_dsa").items() if name != "num_local_experts"}
    return kept | extra | {name: s[name] for name in names}


def _nemotron_h_56b(s: Shape) -> dict[str, Any]:
    """54 Mamba-2, 54 MLP and 10 attention layers, from the paper's table 1 (arXiv 2504.03624).

    256 Mamba heads of 64 with 256 states in 8 groups; 56.3e9 parameters, and within 1.3 % of the FLOPs a sequence that
    DGX Cloud prints.
    """
    pattern = "M-M-M-M*-" + "M-M-M-M-M*-" * 9 + "M-M-M-M-M-"
    dims = {"layers": 118, "d_model": 8192, "heads": 64, "kv_heads": 8, "head_dim": 128, "d_ff": 32768, "vocab": 131072}
    config = _config(replace(s, dims=dims), "nemotron_h")
    unused = ("num_local_experts", "num_experts_per_tok")
    return {name: value for name, value in config.items() if name not in unused} | {
        "hybrid_override_pattern": pattern, "mamba_num_heads": 256, "mamba_head_dim": 64, "ssm_state_size": 256,
        "n_groups": 8, "expand": 2, "conv_kernel": 4, "chunk_size": 256, "mlp_hidden_act": "relu2",
    }  # fmt: skip


FAMILIES: Final[dict[str, Callable[[Shape], dict[str, Any]]]] = {
    "gptoss": _gpt_oss, "llama4maverick": _maverick, "llama4scout": _scout, "nemotron3super": _nemotron_super,
    "qwen35397b": _qwen35, "glm5": _glm5,
}  # fmt: skip
UNBUILDABLE: Final = {
    "nemotron3": "which layers are attention, Mamba or experts", "nemotronh": "which layers are attention or Mamba",
    "qwen3next": "which layers are linear attention", "qwen35": "which layers are linear attention",
    "deepseekv4": "its compressed attention", "jamba": "which layers are attention or Mamba",
    "gemma3": "which layers are windowed", "gemma2": "which layers are windowed", "kimilinear": "its linear attention",
}  # fmt: skip


def _config(s: Shape, model_type: str) -> dict[str, Any]:
    return {
        "model_type": model_type, "hidden_size": s["d_model"], "num_hidden_layers": s["layers"],
        "num_attention_heads": s["heads"], "num_key_value_heads": s["kv_heads"] or s["heads"],
        "head_dim": s["head_dim"] or s["d_model"] // max(s["heads"], 1), "intermediate_size": s["d_ff"],
        "vocab_size": s["vocab"], "num_local_experts": s["experts"], "num_experts_per_tok": s["experts_per_token"],
        "tie_word_embeddings": s.tied,
    }  # fmt: skip


def _family(s: Shape) -> Model | Unknown | None:
    name = plain(s.name)
    for start, config in FAMILIES.items():
        if name.startswith(start):
            try:
                return build(config(s), s.name, "the row")
            except FlopsightError as error:
                return Unknown(str(error))
    for start, why in UNBUILDABLE.items():
        if name.startswith(start):
            return Unknown(f"the row does not say {why}, and no bundled config goes by this name")
    return None


# ------------------------------------------------------------ from the dimensions


def _built(s: Shape) -> Model | Unknown:
    missing = [name for name in NEEDED if not s[name]]
    if not (s["d_ff"] or s["moe_d_ff"]):
        missing.append("d_ff")
    if missing:
        return Unknown(f"the row does not give {', '.join(f'model.{name}' for name in missing)}")
    if s["layers"] > 10_000 or s["heads"] % (s["kv_heads"] or 1):
        return Unknown("the row's heads or layers cannot be those of one model")
    return _decoder(s)


def _decoder(s: Shape) -> Model:
    width, old = s["d_model"], not s.gated
    norm = Norm(width, "layer", bias=True) if old else Norm(width)
    attention = _attention(s)
    dense = pre_norm_layer(norm, attention, _dense(s, s["d_ff"]))
    sparse = pre_norm_layer(norm, attention, _sparse(s)) if s["experts"] else dense
    first = s["first_k_dense"] if s["experts"] else 0
    layers = [dense if index < first else sparse for index in range(s["layers"])]
    rows = s["learned_pos"] or s["max_seq_len_learned_pos"]
    model = causal_lm(
        layers, family="row", vocab=s["vocab"], width=width, tied=s.tied, norm=norm,
        before=(leaf("positions", Embedding(rows, width)),) if rows else (),
    )  # fmt: skip
    return replace(model, name=s.name, mtp=_further(s, layers[-1]))


def _mask(s: Shape) -> Mask:
    return Window(s.window) if s.window else Causal()


def _attention(s: Shape) -> Node:
    width, heads = s["d_model"], s["heads"]
    if s["kv_lora_rank"]:
        return LatentAttention(
            width, heads, s["q_lora_rank"], s["kv_lora_rank"], s["qk_nope_head_dim"], s["qk_rope_head_dim"],
            s["v_head_dim"] or s["head_dim"], mask=_mask(s),
        ).node()  # fmt: skip
    e, biased = s["head_dim"] or width // heads, s.mlp == "gelu"
    return Attention(width, heads, s["kv_heads"] or heads, e, biases=(biased,) * 4, mask=_mask(s)).node()


def _dense(s: Shape, inner: int, name: str = "mlp", kind: str = "mlp") -> Node:
    if s.gated:
        return gated_mlp(s["d_model"], inner or 1, name, kind=kind)
    return plain_mlp(s["d_model"], inner or 1, name, bias=s.mlp == "gelu", kind=kind)


def _sparse(s: Shape) -> Node:
    inner = s["moe_d_ff"] or s["d_ff"]
    visited = min(s["experts_per_token"] or 1, s["experts"])
    shared = _dense(s, s["shared_experts"] * inner, "shared_experts", "shared_experts") if s["shared_experts"] else None
    return moe(Experts(s["experts"], visited, s["d_model"], inner, gated=s.gated), shared=shared)


def _further(s: Shape, layer: Node) -> Node | None:
    """The layers that predict further tokens."""
    if not s["mtp_layers"]:
        return None
    extra = mtp_layer(layer, s["d_model"], s["vocab"])
    return Node("mtp", children=(replace(extra, name="", copies=tuple(range(s["mtp_layers"]))),))


def with_further_tokens(model: Model) -> Model:
    """The model with its multi-token-prediction layers run, as in training."""
    if model.mtp is None:
        return model
    return replace(model, root=branch("", model.root, model.mtp), mtp=None)
