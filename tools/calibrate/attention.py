"""Attention: constants and factors by chip and kind of call, from published kernel timings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import tools.calibrate.surfaces as surfaces
from scipy.optimize import least_squares
from scipy.sparse.linalg import spsolve
from tools.calibrate.attention_backward import HIDDEN, Ahead, backward
from tools.calibrate.attention_rows import Calls, Key, calls
from tools.calibrate.gates import IDS
from tools.calibrate.surfaces import RIDGE, TIGHT, Axes, design, error_of, packed, roughness

from flopsight.hardware.catalog import find
from flopsight.predict.device import Device, device_of
from flopsight.predict.kernels.attention import PLAIN, class_of, made
from flopsight.predict.kernels.efficiency import STEP, Surface
from flopsight.predict.kernels.grid import grid

LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
BLOCKS = (1, 4, 16, 32, 64, 128, 192, 256, 512, 1024, 4096, 16384)
BYTES = (2**8, 2**11, *(2**n for n in range(13, 24)), 2**25, 2**27)
PLACES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 131072)
AXES = {
    "prompt": Axes(LENGTHS, BLOCKS, (64, 128, 256)), "latent_prompt": Axes(LENGTHS, BLOCKS, (128, 160, 192)),
    "decode": Axes(BYTES, PLACES, (1, 2, 4, 8, 16, 32, 128)),
    "latent_decode": Axes(BYTES, PLACES[:11], (1, 2, 4, 8, 16, 32, 64, 128)),
}  # fmt: skip
SMOOTH = {"prompt": (0.02, 0.5, 0.5), "latent_prompt": (0.02, 0.5, 0.5),
          "decode": (0.1, 0.2, 0.3), "latent_decode": (0.1, 0.2, 0.3)}  # fmt: skip
LOW = (1e-6, 1e-12, 1e-12, 0.03, 0.2, 1.0, 0.05)
HIGH = (1e-4, 3e-7, 3e-7, 1.2, 1.05, 8.0, 60.0)
ROUNDS = 10
SAFE = 0.9
HARD = 1e4
"""Weight of a step that falls too fast."""
AT_MOST = 4000
"""Rows of one chip drawn for the constants: they are seven."""
PROTOCOL = (
    "Seven constants by soft least squares in log time, then log2 of measured over that as a smooth trilinear "
    "surface by robust least squares that lets no time fall as sequences or past grow. Prompts and latent calls "
    "are geometric means of the two fastest tables, the same two for all shapes of a chip and format; a decode "
    "step is one table (the fastest above 16 query heads to a key-value head). Left out where errors are "
    "measured: one block in five (heads, key-value heads, width, batch); then all is fitted. Never fitted: 32 and "
    "64 heads over 8 of width 128 on H100, B200 and A100, which are evidence rows. A family is fitted on its "
    "chips together and judged on a chip left out. Errors are [median, 90th percentile, bias, spread, rows]; "
    "spreads add how far tables of one shape lie apart, since a user's kernel may be either."
)

Group = list[tuple[Device, Calls]]


@dataclass(frozen=True)
class Fitted:
    """Constants and surface of one kind of call."""

    kind: str
    constants: tuple[float, ...]
    surface: Surface

    def seconds(self, device: Device, one: Calls, compute: str) -> np.ndarray:
        """Predicted times of rows."""
        weights = design(AXES[self.kind], one.a, one.b, one.c)
        over = np.exp2(weights @ self.surface.values.ravel())
        return np.asarray(physical(device, one, compute, self.constants) * over)

    @property
    def stored(self) -> list[Any]:
        """As the data file holds it."""
        return [*self.constants, packed(self.surface)]


def run(folder: Path) -> dict[str, Any]:
    """The coefficients of every kind of call."""
    rejected: Counter[str] = Counter()
    found = calls(folder, rejected)
    chips: dict[str, Any] = {}
    error: dict[str, Any] = {}
    for key, (device, one) in sorted(found.items()):
        system, kind, formats = key
        chips.setdefault(IDS[system], {}).setdefault(kind, {})[formats] = fit(kind, formats, [(device, one)]).stored
        seen, left = one.take(one.fold != 0), one.take(one.fold == 0)
        part = fit(kind, formats, [(device, seen)])
        error[f"{IDS[system]} {kind} {formats}"] = judged(part, device, left, formats)
    classes, left_out = _classes(found)
    return {**_told(rejected), "error": error, "error_of_chips_left_out": left_out, "chips": chips, "classes": classes,
            "spread": _spreads(found, error, left_out), "backward": backward(_ahead(chips))}  # fmt: skip


def _ahead(chips: dict[str, Any]) -> Ahead:
    """Forward passes by the fitted surfaces."""

    def seconds(system: str, width: int, sequences: int, queries: int, flops: float, moved: float) -> float:
        *constants, packed_ = chips[IDS[system]]["prompt"]["bf16/bf16"]
        axes, heads = AXES["prompt"], HIDDEN // width
        over = grid([list(axes.m), list(axes.n), list(axes.k)], packed_)
        one = made(device_of(find(IDS[system])), "bf16", tuple(constants), over)
        blocks = sequences * heads * max(queries / 128, 1.0)
        seen = flops / (2 * sequences * heads * width * queries)
        return float(one.physical(sequences, blocks, flops, 0.0, moved) * one.factor(seen, blocks, width))

    return seconds


def _told(rejected: Counter[str]) -> dict[str, Any]:
    """Where the numbers come from, and the knots of the surfaces."""
    return {
        "source": "aiconfigurator-core 0.12.0, systems/data/*/attention and mla (Apache-2.0)", "protocol": PROTOCOL,
        "rejected": dict(rejected), "axes": {kind: [list(a.m), list(a.n), list(a.k)] for kind, a in AXES.items()},
    }  # fmt: skip


def physical(device: Device, one: Calls, compute: str, constants: tuple[float, ...]) -> np.ndarray:
    """What the constants alone predict."""
    call = made(device, compute, constants, None)
    found: np.ndarray = call.physical(one.sequences, one.blocks, one.flops, one.streamed, one.aside)
    return found


def compute_of(formats: str) -> str:
    """What is multiplied."""
    return "fp8" if formats.startswith("fp8") else "bf16"


def fit(kind: str, formats: str, group: Group) -> Fitted:
    """Constants, then the surface, of one chip or of several together."""
    compute = compute_of(formats)
    constants = _constants(group, compute)
    y = [np.log2(one.t / physical(device, one, compute, constants)) for device, one in group]
    weights = [np.concatenate([getattr(one, name) for _, one in group]) for name in ("a", "b", "c")]
    slopes = _slopes(kind, [d for d, _ in group], compute, constants)
    found = _surface(kind, design(AXES[kind], *weights), np.concatenate(y), slopes)
    return Fitted(kind, constants, _raised(found, slopes))


def _surface(kind: str, weights: sp.csr_matrix, y: np.ndarray, slopes: tuple[np.ndarray, ...]) -> Surface:
    """The smooth surface nearest to y that falls no faster than allowed, by reweighted, penalized least squares."""
    axes, surfaces.SMOOTH = AXES[kind], SMOOTH[kind]
    rough = roughness(axes)
    held = rough.T @ rough + RIDGE * sp.identity(axes.size)
    steps, falls = _steps(axes, slopes)
    w, broken = np.ones(len(y)), np.zeros(len(falls), bool)
    for _ in range(ROUNDS):
        scaled, pushed = sp.diags(w) @ weights, steps[broken] * HARD
        normal = (weights.T @ scaled + held + pushed.T @ steps[broken]).tocsc()
        x = spsolve(normal, scaled.T @ y - pushed.T @ falls[broken])
        w = TIGHT / np.maximum(np.abs(y - weights @ x), TIGHT)
        broken = steps @ x < -falls
    return Surface(*axes.logs, x.reshape(len(axes.m), len(axes.n), len(axes.k)))


def _steps(axes: Axes, slopes: tuple[np.ndarray, ...]) -> tuple[sp.csr_matrix, np.ndarray]:
    """Differences of neighbouring knots along each axis, and how far each may fall."""
    at = np.arange(axes.size).reshape(len(axes.m), len(axes.n), len(axes.k))
    before, after, falls = [], [], []
    for axis, (knots, slope) in enumerate(zip(axes.logs, slopes, strict=True)):
        low, high = np.moveaxis(at, axis, 0)[:-1], np.moveaxis(at, axis, 0)[1:]
        wide = np.diff(knots).reshape(-1, 1, 1)
        before.append(low.ravel())
        after.append(high.ravel())
        falls.append((np.moveaxis(slope, axis, 0)[:-1] * wide).ravel())
    n = sum(len(one) for one in before)
    columns = np.concatenate([np.concatenate(after), np.concatenate(before)])
    signs = np.repeat([1.0, -1.0], n)
    return sp.csr_matrix((signs, (np.tile(np.arange(n), 2), columns)), shape=(n, axes.size)), np.concatenate(falls)


def _constants(group: Group, compute: str) -> tuple[float, ...]:
    drawn = []
    for device, one in group:
        rows = np.sort(np.random.default_rng(0).permutation(len(one.t))[:AT_MOST])
        drawn.append((device, one.take(rows)))

    def off(x: np.ndarray) -> np.ndarray:
        return np.concatenate([np.log(physical(d, o, compute, tuple(np.exp(x))) / o.t) for d, o in drawn])

    first = np.log(np.clip(PLAIN, LOW, HIGH))
    first[1] = np.log(1e-9)
    low, high = np.log(LOW), np.log(HIGH)
    if not any(one.streamed.any() for _, one in drawn):
        low[4:6], high[4:6] = first[4:6] - 1e-9, first[4:6] + 1e-9
    found = least_squares(off, first, bounds=(low, high), loss="soft_l1", f_scale=0.1)
    return tuple(float(f"{v:.3g}") for v in np.exp(found.x))


# ------------------------------------------------------------ never less time for more


def _slopes(
    kind: str, devices: list[Device], compute: str, constants: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far the surface may fall along each axis, per doubling, and time still grow: what the constants grow by."""
    axes = AXES[kind]
    knots = np.meshgrid(np.array(axes.m, float), np.array(axes.n, float), np.array(axes.k, float), indexing="ij")
    of: Callable[..., tuple[np.ndarray, ...]] = _prompt_slopes if "prompt" in kind else _decode_slopes
    each = [of(kind, made(device, compute, constants, None), *knots) for device in devices]
    return tuple(np.min(one, axis=0) * SAFE for one in zip(*each, strict=True))  # type: ignore[return-value]


def _prompt_slopes(kind: str, call: Any, seen: np.ndarray, blocks: np.ndarray, width: np.ndarray) -> tuple[Any, ...]:
    rows = np.minimum(64, seen)
    busy = 2 * width * seen * rows * blocks * call.slow_flop
    aside = width * rows * blocks * call.aside
    rest = call.launch * blocks
    past = busy / (call.start + rest + 12 * aside + busy)
    more = 1 - call.start / (call.start + rest + 4 * aside + busy)
    return np.minimum(past, more), more, np.full_like(past, 9.0)


def _decode_slopes(kind: str, call: Any, cache: np.ndarray, blocks: np.ndarray, group: np.ndarray) -> tuple[Any, ...]:
    core = call.reading(cache * blocks)
    aside = 2 * (1088 if kind == "latent_decode" else 256) * blocks * group * call.aside
    past = core / (call.start + (call.each + call.launch) * blocks + aside + core)
    more = 1 - call.start / (call.start + call.launch * blocks + aside / 2 + core)
    return past, more, np.full_like(past, 9.0)


def _raised(found: Surface, slopes: tuple[np.ndarray, ...]) -> Surface:
    """The least surface above the one found that falls no faster than allowed."""
    v = np.round(found.values / STEP).astype(int)
    for at in np.ndindex(v.shape):
        for axis, (knots, slope) in enumerate(zip((found.m, found.n, found.k), slopes, strict=True)):
            if at[axis]:
                before = (*at[:axis], at[axis] - 1, *at[axis + 1 :])
                fall = int(slope[before] * (knots[at[axis]] - knots[at[axis] - 1]) / STEP)
                v[at] = max(v[at], v[before] - fall)
    return Surface(found.m, found.n, found.k, np.clip(v, -127, 127) * STEP)


# ------------------------------------------------------------ errors


def judged(fitted: Fitted, device: Device, left: Calls, formats: str) -> list[float]:
    """The error on rows the fit did not see."""
    found = error_of(fitted.seconds(device, left, compute_of(formats)), left.t)
    return [found[name] for name in ("median", "p90", "bias", "spread", "n")]


def _classes(found: dict[Key, tuple[Device, Calls]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fits of families and of all chips, and what they miss on a chip left out."""
    family = {s: class_of((d := device_of(find(i))).family, d.memory_kind) for s, i in IDS.items()}
    members = {name: [s for s in IDS if family[s] == name] for name in sorted(set(family.values()))}
    classes: dict[str, Any] = {name: IDS[own[0]] for name, own in members.items() if len(own) == 1}
    left_out: dict[str, Any] = {}
    for kind, formats in sorted({(k, f) for _, k, f in found}):
        each = {s: c for (s, k, f), c in found.items() if (k, f) == (kind, formats)}
        for name, own in (("all", list(IDS)), *((n, o) for n, o in members.items() if len(o) > 1)):
            group = [c for s, c in each.items() if s in own]
            classes.setdefault(name, {}).setdefault(kind, {})[formats] = fit(kind, formats, group).stored
        for system, (device, one) in sorted(each.items()):
            kin = [c for s, c in each.items() if s != system and family[s] == family[system]]
            others = kin or [c for s, c in each.items() if s != system]
            said = f"{IDS[system]} {kind} {formats} from {'its family' if kin else 'all others'}"
            left_out[said] = judged(fit(kind, formats, others), device, one, formats)
    return classes, left_out


def _spreads(found: dict[Key, tuple[Device, Calls]], error: dict[str, Any], left_out: dict[str, Any]) -> dict[str, Any]:
    """Standard deviations of a chip's calls: of its shapes left out and between tables; of chips left out."""
    between: dict[str, float] = {}
    for word in ("prompt", "decode"):
        apart = [np.quantile(b, 0.683) for (_, k, _), (_, c) in found.items() if word in k
                 if (b := c.between[np.isfinite(c.between)]).size]  # fmt: skip
        between[word] = float(np.median(apart))

    def of(errors: dict[str, Any], part: str, word: str) -> float:
        spreads = [e[3] for name, e in errors.items() if part in name and word in name]
        return round(float(np.hypot(np.median(spreads), between[word])), 3)

    chips = {chip: {w: of(error, chip, w) for w in between} for chip in IDS.values()}
    kinds = {"family": "its family", "all": "all others"}
    return {"chips": chips, **{k: {w: of(left_out, part, w) for w in between} for k, part in kinds.items()}}
