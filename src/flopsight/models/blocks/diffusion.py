"""What diffusion transformers are built of, under the names diffusers gives the modules.

Streams: "text" is the main stream of image or video tokens, "context" the prompt, "joint" both behind one another,
"cross" image tokens that look at the prompt, "sequence" once a sample (time step, pooled prompt, modulation).
"""

from __future__ import annotations

from dataclasses import dataclass

from flopsight.errors import UsageError
from flopsight.expr import Number, where
from flopsight.models.config import Config
from flopsight.models.tree import Node, StreamRule, branch, leaf, sequence_stream
from flopsight.parts.attention import AttentionCore
from flopsight.parts.linear import Linear
from flopsight.parts.masks import Cross, Full
from flopsight.parts.norm import Norm
from flopsight.parts.vector import Elementwise, activation, rope
from flopsight.workload import Work, Workload

MODULATION = "norm/modulation"

QK_NORMS = {
    "layer_norm": Norm(0, "layer", bias=True), "fp32_layer_norm": Norm(0, "layer", weight=False),
    "rms_norm": Norm(0), "rms_norm_across_heads": Norm(0),
}  # fmt: skip
"""diffusers' words for norms of query and key; "across_heads" takes all heads at once."""


# ------------------------------------------------------------------ from pixels to tokens


@dataclass(frozen=True, slots=True)
class Canvas:
    """How an image or a clip becomes tokens.

    height, width, frames   of the latents where the workload says nothing
    patch    latents that one token covers: frames, rows, columns
    shrink   pixels of one latent, along a side
    squeeze  frames of one latent frame (the first stands alone); 0 for still images
    """

    height: int
    width: int
    frames: int = 1
    patch: tuple[int, int, int] = (1, 2, 2)
    shrink: int = 8
    squeeze: int = 0

    def tokens(self, workload: Workload) -> Number:
        """Tokens of one sample: `image_size` replaces the side; `images`, for video, the number of frames."""
        high, wide = self.height, self.width
        if workload.image_size is not None:
            high = wide = workload.image_size // self.shrink
        spots = (high // self.patch[1]) * (wide // self.patch[2])
        if spots < 1:
            least = self.shrink * max(self.patch[1:])
            raise UsageError(f"This model's smallest image is {least} pixels a side; got {workload.image_size}.")
        return spots * (self._frames(workload) // self.patch[0])

    def _frames(self, workload: Workload) -> Number:
        if not self.squeeze:
            return self.frames
        whole = (workload.images - 1) // self.squeeze + 1
        # rounded up to whole patches of frames, as pipelines pad them
        padded = -(-self.frames // self.patch[0]) * self.patch[0]
        return where(1, workload.images, (whole + self.patch[0] - 1) // self.patch[0] * self.patch[0], padded)

    def streams(self, context: int = 0, *, fixed: int = 0, **others: StreamRule) -> dict[str, StreamRule]:
        """The streams of a model with `context` prompt tokens by default and `fixed` more that are always there."""

        def prompt(w: Workload) -> Number:
            return (context if w.encoder is None else w.encoder) + fixed

        return {
            "text": lambda w: Work(w.batch, self.tokens(w)),
            "sequence": sequence_stream,
            "context": lambda w: Work(w.batch, prompt(w)),
            "prompt": lambda w: Work(w.batch, prompt(w) - fixed),
            "joint": lambda w: Work(w.batch, self.tokens(w) + prompt(w)),
            "cross": lambda w: Work(w.batch, self.tokens(w), keys=prompt(w)),
            **others,
        }


def square(c: Config, patch: int, *, side: int = 0, shrink: int = 8) -> Canvas:
    """A square image of `sample_size` latents, or of `side` where the class has no such key."""
    size = side or c.int("sample_size")
    if size < patch:
        raise c.fail("sample_size", size, f"at least the patch size {patch}")
    return Canvas(size, size, patch=(1, patch, patch), shrink=shrink)


# ------------------------------------------------------------------ small assemblies


def linear(
    name: str, inputs: int, outputs: int, kind: str = "embedding", *, bias: bool = True, stream: str | None = None
) -> Node:
    """A leaf with one matrix."""
    return leaf(name, Linear(kind, inputs, outputs, bias), stream=stream)


def embedder(
    name: str, inputs: int, inner: int, outputs: int = 0, *, stream: str = "sequence", bias: bool = True
) -> Node:
    """Two matrices with an activation between: time steps, pooled vectors, captions."""
    return branch(
        name,
        linear("linear_1", inputs, inner, bias=bias),
        leaf("act", activation("silu", inner)),
        linear("linear_2", inner, outputs or inner, bias=bias),
        stream=stream,
    )


def time_embeds(name: str, width: int, *, guidance: bool = False, pooled: int = 0) -> Node:
    """The conditioning vector: time step, and where the model takes them guidance strength and a pooled prompt."""
    return branch(
        name,
        embedder("timestep_embedder", 256, width),
        embedder("guidance_embedder", 256, width) if guidance else None,
        embedder("text_embedder", pooled, width) if pooled else None,
        stream="sequence",
    )


def bare_norm(name: str, width: int, *, stream: str | None = None, form: str = "layer", affine: bool = False) -> Node:
    """A norm between blocks, mostly without weights: the modulation brings them."""
    part = Norm(width, form, affine, affine and form == "layer", kind=MODULATION)
    return leaf(name, part, stream=stream, place="pre")


def modulated(
    name: str, width: int, chunks: int, *, source: int = 0, stream: str | None = None, bias: bool = True
) -> Node:
    """A norm whose shift, scale and gate come from the conditioning vector, once a sample."""
    return branch(
        name,
        linear("linear", source or width, chunks * width, MODULATION, bias=bias, stream="sequence"),
        leaf("normalise", Norm(width, "layer", weight=False, kind=MODULATION), place="pre"),
        leaf("modulate", Elementwise("shift and scale", width, 2)),
        stream=stream,
    )


def gated_residual(name: str, width: int, stream: str | None = None) -> Node:
    """x + gate·y."""
    return leaf(name, Elementwise("gated residual", width, 2, 2), stream=stream)


def feed_forward(
    c: Config, name: str, width: int, inner: int, form: str, *, bias: bool = True, stream: str | None = None
) -> Node:
    """diffusers' FeedForward: one matrix up (two where gated), one down."""
    if form not in ("gelu", "gelu-approximate", "geglu", "geglu-approximate", "swiglu", "linear-silu"):
        raise c.fail("activation_fn", form, "an activation diffusers knows, such as gelu-approximate or geglu")
    gated = form in ("geglu", "swiglu")
    word = "silu" if "s" in form else "gelu"
    return branch(
        name,
        linear("net.0.proj", width, inner * (1 + gated), "mlp", bias=bias),
        leaf("act", activation(word, inner, gated=gated)),
        linear("net.2", inner, width, "mlp", bias=bias),
        stream=stream,
    )


# ------------------------------------------------------------------ attention


@dataclass(frozen=True, slots=True)
class DiffusionAttention:
    """Attention of one or two streams, as diffusers names its projections.

    width     d, of the residual stream; h heads of e values
    source    width of the tokens keys and values come from, if another; they flow in stream `side`
    core      the stream of the scores; None is the block's own
    qk_norm   "" or a key of QK_NORMS
    added     width of a second stream with projections of its own, 0 for none; `added_out` False where that
              stream ends here
    images    width of further image tokens that are looked at beside the prompt (Wan), in stream "clip"
    out       whether the block has an output projection
    rotary    whether query and key rotate
    """

    width: int
    heads: int
    head_width: int
    source: int = 0
    side: str | None = None
    core: str | None = None
    bias: bool = True
    out_bias: bool = True
    qk_norm: str = ""
    added: int = 0
    added_out: bool = True
    added_bias: bool = True
    images: int = 0
    out: bool = True
    rotary: bool = False

    def node(self, name: str) -> Node:
        """The block as a tree node."""
        return branch(name, *self._own(), *self._added(), *self._images(), *self._core(), self._out())

    @property
    def inner(self) -> int:
        """All heads together."""
        return self.heads * self.head_width

    def _linear(self, name: str, inputs: int, stream: str | None = None, *, bias: bool) -> Node:
        return linear(name, inputs, self.inner, "attention", bias=bias, stream=stream)

    def _own(self) -> list[Node]:
        src = self.source or self.width
        return [
            self._linear("to_q", self.width, bias=self.bias),
            self._linear("to_k", src, self.side, bias=self.bias),
            self._linear("to_v", src, self.side, bias=self.bias),
            *self._norms("norm_q", None),
            *self._norms("norm_k", self.side),
        ]

    def _added(self) -> list[Node]:
        if not self.added:
            return []
        names = ("add_q_proj", "add_k_proj", "add_v_proj")
        found = [self._linear(n, self.added, "context", bias=self.added_bias) for n in names]
        if self.added_out:
            found.append(
                linear("to_add_out", self.inner, self.added, "attention", bias=self.out_bias, stream="context")
            )
        return [*found, *self._norms("norm_added_q", "context"), *self._norms("norm_added_k", "context")]

    def _images(self) -> list[Node]:
        if not self.images:
            return []
        core = AttentionCore(self.heads, self.head_width, self.head_width, self.heads, Cross(), cached=False)
        return [
            self._linear("add_k_proj", self.images, "clip", bias=True),
            self._linear("add_v_proj", self.images, "clip", bias=True),
            *self._norms("norm_added_k", "clip"),
            leaf("image_core", core, stream="cross_clip"),
            leaf("add_images", Elementwise("residual", self.inner, 1, 2)),
        ]

    def _norms(self, name: str, stream: str | None) -> list[Node]:
        if not self.qk_norm:
            return []
        like, whole = QK_NORMS[self.qk_norm], self.qk_norm.endswith("across_heads")
        part = Norm(
            self.inner if whole else self.head_width, like.form, like.weight, like.bias,
            1 if whole else self.heads, kind="attention",
        )  # fmt: skip
        return [leaf(name, part, place="qk", stream=stream)]

    def _core(self) -> list[Node]:
        mask = Cross() if self.side else Full()
        core = AttentionCore(self.heads, self.head_width, self.head_width, self.heads, mask, cached=False)
        turned = [leaf("rope", rope(2 * self.heads, self.head_width), stream=self.core)] if self.rotary else []
        return [*turned, leaf("core", core, stream="cross" if self.side else self.core)]

    def _out(self) -> Node | None:
        return linear("to_out.0", self.inner, self.width, "attention", bias=self.out_bias) if self.out else None


def qk_norm(c: Config, *, default: str | None = None) -> str:
    """The norm of query and key that a config names, or "" for none."""
    value = c.get("qk_norm", default=default)
    if value is None:
        return ""
    if not isinstance(value, str) or value not in QK_NORMS:
        raise c.fail("qk_norm", value, f"null or one of {', '.join(QK_NORMS)}")
    return value


def joint_notes(canvas: Canvas, context: int, size: str, *more: str) -> tuple[str, ...]:
    """What a reader should know about the counting of a diffusion model."""
    clip = "images sets the number of video frames; " if canvas.squeeze else ""
    told = f"{context} prompt tokens unless encoder says otherwise; " if context else ""
    return (
        f"One forward pass is one denoising step of `batch` samples ({size} unless image_size says otherwise; {told}"
        f"{clip}seq and past play no part). Guidance with a negative prompt doubles the batch.",
        "The text encoders and the autoencoder are models of their own and are not counted.",
        *more,
    )


def patch3(c: Config) -> tuple[int, int, int]:
    """`patch_size` as frames, rows and columns."""
    found = c.ints("patch_size", least=1)
    if found is None or len(found) != 3:
        raise c.fail("patch_size", c.get("patch_size", default=None), "three whole numbers: frames, rows, columns")
    return found[0], found[1], found[2]
