"""Measurements made up for tests: numbers that can be checked in the head."""

from flopsight.ceiling.caches import Level
from flopsight.ceiling.neighbours import Shares
from flopsight.ceiling.run import Found
from flopsight.ceiling.values import Bandwidth, Launch, Product
from flopsight.facts import Unknown
from flopsight.stopwatch import Spread

STEADY = Spread(1e-3, 1.25e-3, 2e-3, 9)
LEVELS = (Level("L1", 2**15, 2), Level("L2", 2**20, 2), Level("L3", 2**25, 1))


def point(direction, size, level, seconds=1e-3):
    return Bandwidth(direction, size, level, 10**8, Spread(seconds, 2 * seconds, 3 * seconds, 5))


def found(**changes):
    products = (
        Product("fp32", (1000, 500, 100), STEADY, 30),
        Product("tf32", why="TF32 is a mode of CUDA devices"),
        Product("bf16", (1000, 1000, 100), STEADY, 30),
    )
    points = tuple(
        point(direction, size, level, seconds)
        for size, level, seconds in ((2**14, "L1", 0.5e-3), (2**20, "L2", 0.8e-3), (2**24, "L3", 1e-3),
                                     (2**26, "memory", 2e-3), (2**27, "memory", 4e-3))
        for direction in ("read", "write", "copy")
    )  # fmt: skip
    made = {
        "device": "cpu", "name": "cpu", "threads": 2, "cores": 2, "products": products, "points": points,
        "levels": LEVELS, "launch": Launch(Spread(1e-6, 2e-6, 3e-6, 9), Spread(3e-6, 4e-6, 9e-6, 9), why="no graphs"),
        "drift": (1e11, 1e11, 1e11), "clock": Unknown("clock not readable here"), "neighbours": Shares(0.0, 0.0),
        "torch": "2.13.0", "date": "2026-01-02", "quick": False,
    }  # fmt: skip
    return Found(**{**made, **changes})
