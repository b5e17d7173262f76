"""Speed and memory of reading a trace, beside what only parses it, in the same run.

    load and full analysis   flopsight: pieces, columns, attribution, time split, FLOPs, kernels by name
    stdlib json              json.loads of the same bytes, nothing else
    typed msgspec            one decode of the whole file into plain typed structs, nothing else
    HTA                      TraceAnalysis' load alone, where HolisticTraceAnalysis is installed

Each runs in a process of its own, so that its peak of memory is its own; gunzip alone is the floor for packed files.
"""

import gzip
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent.parent
SAMPLE = HERE.parent / "shared" / "samples" / "kineto" / "v100_ddp_2rank_rank1_large.json.gz"
KEPT = HERE / "tests" / "data" / "traces" / "kineto" / "h100_qwen1.5-0.5b_prefill.json.gz"
LARGE = 300 << 20
REPEATS = 3


def ours(path):
    from flopsight.achieved.reading import reading_of
    from flopsight.readers import read

    def run():
        (trace,) = read(path)
        reading_of(trace)
        return len(trace.kernels) + len(trace.host)

    return run


def stdlib(path):
    return lambda: len(json.loads(pathlib.Path(path).read_bytes())["traceEvents"])


def typed(path):
    import msgspec

    class Args(msgspec.Struct):
        external: int = msgspec.field(default=-1, name="External id")
        correlation: int = -1
        device: int = -1
        stream: int | str = -1
        sequence: int = msgspec.field(default=-1, name="Sequence number")
        dims: list | None = msgspec.field(default=None, name="Input Dims")
        types: list[str] | None = msgspec.field(default=None, name="Input type")
        values: list | None = msgspec.field(default=None, name="Concrete Inputs")
        grid: list[int] | None = None
        block: list[int] | None = None
        bytes: int | str = -1

    class Event(msgspec.Struct):
        ph: str
        name: str = ""
        cat: str = ""
        pid: int | str = 0
        tid: int | str = 0
        ts: float = 0.0
        dur: float = 0.0
        args: Args | None = None

    class File(msgspec.Struct):
        traceEvents: list[Event]

    decoder = msgspec.json.Decoder(File)
    return lambda: len(decoder.decode(pathlib.Path(path).read_bytes()).traceEvents)


def hta(path):
    from hta.trace_analysis import TraceAnalysis

    return lambda: len(TraceAnalysis(trace_files={1: str(path)}).t.traces[1])


def gunzip(path):
    def run():
        with gzip.open(path) as source:
            while source.read(1 << 20):
                pass
        return 1

    return run


WAYS = {"flopsight": ours, "stdlib json": stdlib, "typed msgspec": typed, "HTA": hta, "gunzip": gunzip}


def one(way, path):
    """In a process of its own: best seconds, events, and peak MB."""
    run = WAYS[way](path)
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        events = run()
        times.append(time.process_time() - start)
    print(json.dumps({"seconds": min(times), "events": events, "peak_mb": peak()}))


def peak():
    """MB that this process held at most; getrusage would count its parent's, from before the start."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def timed(way, path):
    command = [sys.executable, __file__, "--one", way, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    return json.loads(done.stdout.splitlines()[-1])


def unpacked(source, folder):
    path = pathlib.Path(folder) / "trace.json"
    path.write_bytes(gzip.decompress(source.read_bytes()))
    return path


def repeated(path, folder):
    """The same events again and again, each time later, up to 300 MB."""
    text = json.loads(path.read_bytes())
    events = text["traceEvents"]
    length = max(e.get("ts", 0) + e.get("dur", 0) for e in events) - min(e["ts"] for e in events if "ts" in e)
    target = pathlib.Path(folder) / "large.json"
    copies = max(1, LARGE // path.stat().st_size)
    with target.open("w") as out:
        out.write('{"schemaVersion": 1, "deviceProperties": ' + json.dumps(text.get("deviceProperties", [])))
        out.write(', "traceEvents": [\n')
        for n in range(copies):
            for e in events:
                if n and "ts" in e:
                    e["ts"] += length + 1
            out.write((",\n" if n else "") + ",\n".join(json.dumps(e) for e in events))
        out.write("]}")
    return target


def rows():
    source = SAMPLE if SAMPLE.exists() else KEPT
    with tempfile.TemporaryDirectory() as folder:
        plain = unpacked(source, folder)
        for name, path in ((source.name, plain), (f"{source.name} x {LARGE >> 20} MB", repeated(plain, folder))):
            mine = timed("flopsight", path)
            size = path.stat().st_size / 1e6
            print(
                f"{name}: {size:,.0f} MB, {mine['events']:,} rows, {size / mine['seconds']:,.0f} MB/s, "
                f"peak {mine['peak_mb']:,.0f} MB", file=sys.stderr,
            )  # fmt: skip
            for way in ("stdlib json", "typed msgspec", "HTA"):
                other = timed(way, path)
                if other is None:
                    print(f"  {way} is not installed or failed on this file", file=sys.stderr)
                    continue
                print(f"  {way}: {size / other['seconds']:,.0f} MB/s, peak {other['peak_mb']:,.0f} MB", file=sys.stderr)
                yield {
                    "what": f"read and analyse {name}, beside {way}", "seconds": mine["seconds"],
                    "baseline_seconds": other["seconds"],
                }  # fmt: skip
        packed, floor = timed("flopsight", source), timed("gunzip", source)
        yield {
            "what": f"read and analyse {source.name}, beside gunzip", "seconds": packed["seconds"],
            "baseline_seconds": floor["seconds"],
        }  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:4])
    else:
        for row in rows():
            print(
                f"{row['what']}: {row['seconds']:.3f} s, baseline / ours {row['baseline_seconds'] / row['seconds']:.2f}"
            )
