"""The steady state of a server kept busy by a fixed number of clients: one request each, the next when it is answered.

Everything may be an array over configurations. A step decodes the running batch; some steps also carry the prompts of
requests that were just admitted. Each request brings one prompt and `osl` decode steps, so a step admits R / osl
requests in the mean, and the time between two tokens is

    TPOT = decode(R) + (prompts per step) · (seconds per prompt)

The running batch follows from Little's law, R = c · osl · TPOT / (TTFT + osl · TPOT), and TTFT contains what a prompt
waits for: the step under way, prompts before it, and a seat where the cache holds fewer than c.

Clients that start together stay together, the more so the more alike their requests are: a share `burst` of prompts
then comes in waves of k = c / (prompts of a step) steps, of which a request sees (k - 1) / 2 between its own tokens and
waits for as many before its first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

ROUNDS: Final = 40


@dataclass(frozen=True, slots=True)
class Tables:
    """Kernel seconds of one replica's steps for n configurations.

    running  [K] the batch as a share of the replica's clients, ascending to 1
    decode   [n, K] seconds of a decode step
    prompts  [M] how many prompts a step carries
    prefill  [n, M] seconds they add to it
    """

    running: Any
    decode: Any
    prompts: Any
    prefill: Any


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients ask of one replica, arrays of n.

    clients  requests in flight of one replica
    osl      decode steps of a request
    ranks    replicas that step together, because they share experts; their prompts are taken to come in the same steps
    seats    most sequences the cache of one replica holds
    pieces   steps over which one prompt is spread
    most     most prompts of one step
    mixed    1 where prompts ride with the decode batch, 0 where they run alone between two decode steps
    """

    clients: Any
    osl: Any
    ranks: Any
    seats: Any
    pieces: Any
    most: Any
    mixed: Any


@dataclass(frozen=True, slots=True)
class Terms:
    """What the engine adds, arrays of n or numbers.

    kernels       factor on a decode step's kernels, and
    prefills      on those of prompts
    step          seconds a step: host and gaps
    per_sequence  seconds a step and sequence
    floor         least seconds of a step with prompts: launched one by one, not as a graph
    request       seconds before a request's first launch
    polls         steps between two looks for new requests
    burst         share of clients whose prompts arrive together
    """

    kernels: Any
    prefills: Any
    step: Any
    per_sequence: Any
    floor: Any
    request: Any
    burst: Any
    polls: Any


@dataclass(frozen=True, slots=True)
class Steady:
    """The fixed point, arrays of n; seconds.

    running   sequences that decode on a replica
    decode    the step without prompts, with what the engine adds
    prefill   other requests' prompts in a mean step
    tpot, ttft
    service   a prompt's own time in TTFT
    wait      TTFT spent waiting for a step to end, for other prompts, or for a seat
    """

    running: Any
    decode: Any
    prefill: Any
    tpot: Any
    ttft: Any
    service: Any
    wait: Any


def along(knots: Any, table: Any, at: Any) -> Any:
    """Each row of `table` [n, K] read at its own place of `at` [n], straight between knots."""
    import numpy as np

    if len(knots) == 1:
        return table[:, 0]
    left = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    rows = np.arange(len(table))
    share = np.clip((at - knots[left]) / (knots[left + 1] - knots[left]), 0.0, None)
    return table[rows, left] * (1 - share) + table[rows, left + 1] * share


def steady(tables: Tables, load: Load, terms: Terms) -> Steady:
    """Iterate running batch and TPOT, half a step at a time, until they agree."""
    import numpy as np

    running = np.minimum(load.clients, load.seats) * 0.95
    found = _at(tables, load, terms, running)
    for _ in range(ROUNDS):
        little = load.clients * load.osl * found.tpot / (found.ttft + load.osl * found.tpot)
        running = 0.5 * running + 0.5 * np.clip(little, np.minimum(load.clients, 0.05), load.seats)
        found = _at(tables, load, terms, running)
    return found


def _at(tables: Tables, load: Load, terms: Terms, running: Any) -> Steady:
    import numpy as np

    decode = terms.kernels * along(tables.running, tables.decode, running / load.clients)
    decode = decode + terms.step + terms.per_sequence * running
    admitted = running / load.osl
    together = np.clip(admitted, 1.0, load.most)
    loaded = terms.prefills * along(tables.prompts, tables.prefill, together)
    loaded = np.maximum(loaded, load.pieces * (terms.floor - load.mixed * decode))
    busy = np.minimum(admitted, 1.0)
    waves = np.maximum(1.0, load.clients / load.most)
    seen = 1 - terms.burst * (waves + 1) / (2 * waves)
    prefill = seen * busy * loaded * np.maximum(1.0, admitted / load.most)
    tpot = decode + prefill
    one = np.maximum(terms.prefills * tables.prefill[:, 0], load.pieces * (terms.floor - load.mixed * decode))
    service = load.mixed * load.pieces * decode + one
    packed = (terms.prefills * along(tables.prompts, tables.prefill, load.most) + load.mixed * decode) / load.most
    wait = terms.polls * tpot / 2 + _queue(load, terms, one, packed, prefill / tpot)
    ttft = terms.request + service + wait
    short = np.maximum(0.0, load.clients / np.maximum(load.seats, 1e-9) - 1) * load.osl * tpot
    wait = np.maximum(wait, short)
    return Steady(running, decode, prefill, tpot, np.maximum(ttft, short), service, wait)


def _queue(load: Load, terms: Terms, one: Any, packed: Any, busy: Any) -> Any:
    """Prompts before it: half of those that arrive together, packed in full steps, and a random arrival's (M/D/1)."""
    import numpy as np

    together = terms.burst * (load.clients - 1) / 2 * packed
    share = np.minimum(busy, 0.9)
    return together + share / (1 - share) * one / 2


@dataclass(frozen=True, slots=True)
class Pool:
    """Prefill workers that stand apart from those that decode.

    servers  replicas that prefill, one prompt or a few at a time
    clients  requests in flight, all over the server
    workers  replicas that decode
    """

    servers: Any
    clients: Any
    workers: Any


def apart(tables: Tables, load: Load, terms: Terms, pool: Pool) -> Steady:
    """The fixed point where prompts are computed on machines of their own; `running` is that of one decoding replica.

    tables.prefill holds a prefill worker's own seconds. Decode steps carry no prompts; a prompt waits for those before
    it at its worker, and the workers together admit no more than they compute: R <= osl · TPOT · rate / workers.
    """
    import numpy as np

    one = np.maximum(terms.prefills * tables.prefill[:, 0], load.pieces * terms.floor)
    each = np.where(tables.prompts <= load.most[:, None], tables.prefill / tables.prompts, np.inf)
    best = np.maximum(terms.prefills * np.min(each, axis=1), load.pieces * terms.floor / load.most)
    rate = pool.servers / np.maximum(best, 1e-12)
    running = np.minimum(pool.clients / pool.workers, load.seats)
    found = _apart(tables, load, terms, pool, running, one, rate)
    for _ in range(ROUNDS):
        little = pool.clients / pool.workers * load.osl * found.tpot / (found.ttft + load.osl * found.tpot)
        most = np.minimum(load.seats, load.osl * found.tpot * rate / pool.workers)
        running = 0.5 * running + 0.5 * np.clip(little, 1e-3, most)
        found = _apart(tables, load, terms, pool, running, one, rate)
    return found


def _apart(tables: Tables, load: Load, terms: Terms, pool: Pool, running: Any, one: Any, rate: Any) -> Steady:
    import numpy as np

    decode = terms.kernels * along(tables.running, tables.decode, running / load.clients)
    decode = decode + terms.step + terms.per_sequence * running
    asked = running * pool.workers / (load.osl * decode)
    busy = np.minimum(asked / rate, 0.98)
    wait = terms.burst * np.maximum(0.0, pool.clients / pool.servers - 1) / 2 * one + busy / (1 - busy) * one / 2
    held = np.maximum(0.0, pool.clients - running * pool.workers) / np.maximum(asked, 1e-9)
    ttft = terms.request + one + wait + decode
    full = np.maximum(ttft, np.where((busy >= 0.97) | (running >= 0.999 * load.seats), held, 0.0))
    return Steady(running, decode, 0 * decode, decode, full, one, full - one)
