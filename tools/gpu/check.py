"""Run real programs on a GPU, and put what flopsight counts beside what the tensor pipes say.

    python -m tools.gpu.check [--device cuda:0] [--seconds 8] [--tiny] [--out data/measured]

For each program: FLOPs that one step executes (counted) and seconds a step, averaged over many, so HFU; beside it the
share of cycles in which a tensor pipe was busy and the SM clock (NVML performance monitoring), so the HFU that the
hardware saw: pipes x clock / clock of the data sheet. The two should agree within 2 % where products fill their tiles.
Raw results are written to one JSON file with the command, the date and the versions.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
import transformers
from tools.gpu import programs
from tools.gpu.gpm import Gpm, state

import flopsight.torch
from flopsight.facts import Unknown
from flopsight.hardware.catalog import match_driver

HOWS = {"train": ("eager", "compiled"), "prefill": ("eager", "compiled"), "decode": ("eager", "graphs")}
CASES = [(kind, phase, how) for kind in ("llama-1b", "small-moe") for phase, hows in HOWS.items() for how in hows]


def main():
    """Every case, one row each, written as they come."""
    asked = arguments()
    found = {
        "command": " ".join(["python -m tools.gpu.check", *sys.argv[1:]]), "date": datetime.now(UTC).isoformat(),
        "torch": torch.__version__, "transformers": transformers.__version__, "device": device_name(asked.device),
        "driver": state(), "ceilings": ceilings(asked), "rows": [],
    }  # fmt: skip
    path = Path(asked.out) / f"{found['device'].replace(' ', '-').lower()}-{found['date'][:10]}.json"
    for kind, phase, how in CASES:
        found["rows"].append(case(asked, kind, phase, how))
        print(line(found["rows"][-1]))
        write(path, found)
    print(f"Wrote {path}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--tiny", action="store_true", help="small models, to try the script where there is no GPU")
    parser.add_argument("--out", default="data/measured")
    return parser.parse_args()


def case(asked, kind, phase, how):
    """One program, counted and then timed; a failure is a row too."""
    row = {"model": kind, "phase": phase, "how": how}
    if how == "graphs" and not asked.device.startswith("cuda"):
        return row | {"why": "graphs of kernels are captured on CUDA devices only"}
    try:
        size = (programs.TINY if asked.tiny else programs.FULL)[phase]
        model = programs.model_of(kind, asked.device, asked.tiny)
        model.train(phase == "train")
        plain = made(phase, "eager", model, size)
        with flopsight.torch.counting(model) as c:
            plain()
        step = plain if how == "eager" else made(phase, how, model, size)
        row |= {"flops": vars_of(c.flops), "bytes": c.bytes.total, "uncounted": sorted({u.op for u in c.uncounted})}
        return row | timed(asked, step, c.flops)
    except Exception as error:
        return row | {"why": f"{type(error).__name__}: {error}"}
    finally:
        torch.compiler.reset()
        if asked.device.startswith("cuda"):
            torch.cuda.empty_cache()


def made(phase, how, model, size):
    if phase == "decode":
        return programs.decode(model, size, graphs=how == "graphs")
    return getattr(programs, phase)(model, size, compiled=how == "compiled")


def timed(asked, step, flops):
    """Seconds a step over `--seconds`, with the counters around exactly these steps."""
    for _ in range(5):
        step()
    wait(asked.device)
    steps, start = 0, time.perf_counter()
    with Gpm() as gpm:
        while time.perf_counter() - start < asked.seconds:
            step()
            steps += 1
            if steps % 16 == 0:
                wait(asked.device)
        wait(asked.device)
        seconds = (time.perf_counter() - start) / steps
    driver = state()
    return {"steps": steps, "seconds": seconds, "gpm": gpm.values, "gpm_why": gpm.why, "driver": driver} | shares(
        asked, flops, seconds, gpm.values, driver
    )


def shares(asked, flops, seconds, gpm, driver):
    """MFU and HFU against the data sheet, and the HFU that the pipes saw."""
    chip = match_driver("torch", device_name(asked.device))
    if isinstance(chip, Unknown):
        return {"peak_why": chip.why}
    peak = chip.peak("bf16").value
    out = {"mfu": flops.required / seconds / peak, "hfu": flops.executed / seconds / peak}
    if "any_tensor" in gpm and driver.get("sm_clock_mhz"):
        clock = driver["sm_clock_mhz"] / driver["sm_clock_max_mhz"]
        out |= {"pipes": gpm["any_tensor"] / 100, "clock_share": clock, "hfu_seen": gpm["any_tensor"] / 100 * clock}
    return out


def ceilings(asked):
    """What `flopsight ceiling` says of this device."""
    command = [sys.executable, "-m", "flopsight", "ceiling", "--device", asked.device, "--json"]
    done = subprocess.run(command + (["--quick"] if asked.tiny else []), capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {"why": done.stderr.strip()[-500:]}


def device_name(device):
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def wait(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def vars_of(flops):
    return {"required": flops.required, "full_square": flops.full_square, "executed": flops.executed}


def line(row):
    if "why" in row:
        return f"{row['model']:10} {row['phase']:8} {row['how']:9} not run: {row['why']}"
    mfu = f"MFU {row['mfu']:.1%}  HFU {row['hfu']:.1%}" if "mfu" in row else row.get("peak_why", "")
    seen = f"  pipes {row['pipes']:.1%} x clock {row['clock_share']:.2f}" if "pipes" in row else f"  {row['gpm_why']}"
    return f"{row['model']:10} {row['phase']:8} {row['how']:9} {row['seconds'] * 1e3:9.2f} ms  {mfu}{seen}"


def write(path, found):
    """Aside, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(found, indent=1) + "\n")
    aside.replace(path)


if __name__ == "__main__":
    main()
