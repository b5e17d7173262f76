"""Output of likwid-perfctr made by hand, in both of its forms, as its printcsv and printtable write it.

The group is FLOPS_SP of Sapphire Rapids (groups/SPR/FLOPS_SP.txt): SP [MFLOP/s] = 1.0E-06 *
(128B * 4 + SCALAR + 256B * 8 + 512B * 16) / time.
"""

EVENTS = {
    "INSTR_RETIRED_ANY": ("FIXC0", (1_000_000, 900_000)),
    "FP_ARITH_INST_RETIRED_128B_PACKED_SINGLE": ("PMC0", (1000, 0)),
    "FP_ARITH_INST_RETIRED_SCALAR_SINGLE": ("PMC1", (10, 20)),
    "FP_ARITH_INST_RETIRED_256B_PACKED_SINGLE": ("PMC2", (500, 0)),
    "FP_ARITH_INST_RETIRED_512B_PACKED_SINGLE": ("PMC3", (250, 1)),
}
RUNTIME = 0.25
FLOPS = 1000 * 4 + 10 + 20 + 500 * 8 + 251 * 16
METRICS = {
    "Runtime (RDTSC) [s]": (RUNTIME, RUNTIME),
    "SP [MFLOP/s]": ((4000 + 10 + 4000 + 4000) * 1e-6 / RUNTIME, (20 + 16) * 1e-6 / RUNTIME),
    "Clock [MHz]": (2000.0, "nan"),
}
MEMORY = {
    "CAS_COUNT_RD": ("MBOX0C0", (1000, 0)),
    "CAS_COUNT_WR": ("MBOX0C1", (500, "-")),
}
VOLUMES = {
    "Memory read data volume [GBytes]": (1000 * 64e-9, 0),
    "Memory write data volume [GBytes]": (500 * 64e-9, 0),
}
HEAD = ("CPU name", "Intel(R) Xeon(R) Platinum 8480+"), ("CPU type", "Intel SapphireRapids processor"), (
    "CPU clock", "2.0 GHz",
)  # fmt: skip
THREADS = ("HWThread 0", "HWThread 1")


def tables(events, metrics):
    """Raw counts, their sums, metrics, their sums."""
    raw = [["Event", "Counter", *THREADS]] + [[name, where, *map(str, v)] for name, (where, v) in events.items()]
    sums = [["Event", "Counter", "Sum", "Min", "Max", "Avg"]] + [
        [f"{n} STAT", w, *"1234"] for n, (w, _) in events.items()
    ]
    made = [["Metric", *THREADS]] + [[name, *map(str, v)] for name, v in metrics.items()]
    stat = [["Metric", "Sum", "Min", "Max", "Avg"]] + [[f"{name} STAT", *"1234"] for name in metrics]
    return ("Raw", raw), ("Raw STAT", sums), ("Metric", made), ("Metric STAT", stat)


def as_csv(group="FLOPS_SP", events=EVENTS, metrics=METRICS, region=None):
    lines = ["STRUCT,Info,3,,", *(f"{k}:,{v},," for k, v in HEAD)]
    for kind, rows in tables(events, metrics):
        where = f"Region {region}," if region else ""
        lines.append(f"TABLE,{where}Group 1 {kind},{group},{len(rows) - 1},")
        if kind == "Raw" and region:
            lines += ["Region Info,HWThread 0,HWThread 1,", "RDTSC Runtime [s],0.2,0.2,", "call count,3,3,"]
        lines += [",".join(row) + ",," for row in rows]
    return "\n".join(lines) + "\n"


def as_text(group="FLOPS_SP", events=EVENTS, metrics=METRICS, region=None):
    rule = "-" * 40
    lines = [rule, *(f"{k}:\t{v}" for k, v in HEAD), rule, "a program's own line, with a comma", rule]
    lines.append((f"Region {region}, " if region else "") + f"Group 1: {group}")
    for _, rows in tables(events, metrics):
        cross = "+" + "+".join("-" * 10 for _ in rows[0]) + "+"
        lines += [cross, "| " + " | ".join(rows[0]) + " |", cross]
        lines += ["|  " + "  |  ".join(row) + "  |" for row in rows[1:]] + [cross, ""]
    return "\n".join(lines) + "\n"
