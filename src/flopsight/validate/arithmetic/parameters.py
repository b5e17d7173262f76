"""Parameters of a decoder from its dimensions."""

from __future__ import annotations

from flopsight.validate.arithmetic.problem import Problem, Rule


def _asks(p: Problem) -> bool:
    return p.any(r"\bparam") and p.unit.startswith("param")


def matrices(p: Problem) -> float:
    """Three of a gated feed-forward block, unless the question says two."""
    return 2 if p.any(r"\b(2|two) (mlp |ffw )?matrices", r"non-gated") else 3


def feed_forward(p: Problem) -> float | None:
    """L·m·D·F with m matrices."""
    found = p.dims.all("L", "D", "F")
    return found[0] * found[1] * found[2] * matrices(p) if found else None


def attention(p: Problem) -> float | None:
    """L·(2·D·N·H + 2·D·K·H)."""
    found, query, keys = p.dims.all("L", "D"), p.dims.query, p.dims.keys
    return found[0] * found[1] * 2 * (query + keys) if found and query and keys else None


def vocabulary(p: Problem) -> float | None:
    """2·V·D, or V·D where input and output share the table."""
    found = p.dims.all("V", "D")
    return found[0] * found[1] * (1 if _tied(p) else 2) if found else None


def _tied(p: Problem) -> bool:
    return p.any(r"(?<!un)\btied\b", r"\bshared? (the )?(input|embedding)") and not p.any(r"\buntied\b")


def _feed_forward(p: Problem) -> float | None:
    asked = p.any(r"\bffw\b", r"\bffn\b", r"\bmlp param", r"feed-?forward param")
    return feed_forward(p) if _asks(p) and asked and not p.any(r"servable") else None


def _attention(p: Problem) -> float | None:
    asked = p.any(r"attention param") and not p.any("fraction", "share", "ratio")
    return attention(p) if _asks(p) and asked else None


def _vocabulary(p: Problem) -> float | None:
    asked = p.any(r"vocab\w* param", r"embeddings? param", r"embedding and (un|head|output)")
    return vocabulary(p) if _asks(p) and asked else None


def _total(p: Problem) -> float | None:
    asked = p.any(r"total param", r"^param(eter)?s of", r"how many param", r"param(eter)? count")
    parts = (feed_forward(p), attention(p), vocabulary(p))
    return sum(one for one in parts if one) if _asks(p) and asked and all(parts) else None


def _fraction(p: Problem) -> float | None:
    """Of the layers' parameters."""
    if not p.has("attention", r"param") or not p.any("fraction", "share", "ratio") or p.unit not in ("fraction", "%"):
        return None
    width, inner, query, keys = p.dims.get("D"), p.dims.get("F"), p.dims.query, p.dims.keys
    if not (width and inner and query and keys):
        return None
    mixing, rest = 2 * width * (query + keys), matrices(p) * width * inner
    return mixing / (mixing + rest) * (100 if p.unit == "%" else 1)


RULES = (
    Rule("feed-forward parameters", "L·m·D·F", _feed_forward),
    Rule("attention parameters", "L·(2·D·N·H + 2·D·K·H)", _attention),
    Rule("vocabulary parameters", "2·V·D, V·D tied", _vocabulary),
    Rule("total parameters", "feed-forward + attention + vocabulary", _total),
    Rule("share of attention in the parameters", "attention / (attention + feed-forward)", _fraction),
)
