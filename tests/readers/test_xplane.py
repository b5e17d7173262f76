"""XLA profiles: a real one of eight MI300X against two other decoders, a real one of this processor, TPUs by hand."""

import contextlib
import gzip
import random
import warnings

import numpy as np
import pytest

from flopsight.errors import BadFile, FlopsightError
from flopsight.readers import Limits, read
from flopsight.readers.find import head_of
from flopsight.readers.xplane import READER, hlo
from flopsight.trace import Collective
from flopsight.trace.columns import CALL, COPY, HOST_RANGE, KERNEL, OP, PYTHON, RANGE, SET
from flopsight.trace.intervals import union
from tests.readers.places import beside, kept
from tests.readers.xplane_files import plane, space

MI300X = "xplane/mi300x_jax_conv.xplane.pb"
# kernels, sum, busy, span in ns: decoded by google.protobuf with a descriptor written from xplane.proto
PER_DEVICE = (
    (60, 4000165, 3995965, 138470832), (25, 3345845, 3345845, 112106106), (25, 3524285, 3524285, 106992671),
    (25, 3403364, 3403364, 95261145), (25, 3493365, 3493365, 91596080), (25, 3464884, 3464884, 92938503),
    (25, 3403004, 3403004, 104221477), (25, 3502165, 3502165, 90563059),
)  # fmt: skip
PER_KERNEL = {
    "input_transpose_fusion.kd": (40, 14344140), "Im3d2Col.kd": (40, 695282),
    "__amd_rocclr_copyBuffer.kd": (35, 563521), "input_transpose_fusion_1.kd": (40, 488200),
    "loop_transpose_fusion.kd": (40, 193520),
}  # fmt: skip


def of(tmp_path, data, name="a.xplane.pb"):
    path = tmp_path / name
    path.write_bytes(data)
    return read(path)[0]


def named(trace, rows=None):
    names = trace.kernels.name if rows is None else trace.kernels.name[rows]
    return [trace.names[i] for i in names]


def unread(trace):
    return {one.what: one.count for one in trace.unread}


# ---- a real profile of eight MI300X


@pytest.fixture(scope="module")
def mi300x():
    return read(kept("xplane/mi300x_jax_conv.xplane.pb.gz"))[0]


def test_counts_and_sums_are_those_of_another_decoder(mi300x):
    k = mi300x.kernels
    assert len(k) == 235
    for device, facts in enumerate(PER_DEVICE):
        mine = k.at(k.device == device)
        busy = union(mine.start, mine.end)
        assert (len(mine), mine.duration.sum(), busy.length, busy.span) == facts
    names = np.array(named(mi300x))
    for name, (count, total) in PER_KERNEL.items():
        assert ((names == name).sum(), k.duration[names == name].sum()) == (count, total)
    gemm = np.char.startswith(names.astype(str), "Cijk_Ailk_Bljk_BBS_BH_MT256x128x64")
    assert (gemm.sum(), k.duration[gemm].sum()) == (40, 11852414)


def test_devices_are_what_the_planes_say(mi300x):
    assert [one.id for one in mi300x.devices] == list(range(8))
    for one in mi300x.devices:
        assert (one.name, one.vendor, one.units, one.memory, one.capability) == ("", "amd", 304, 206141652992, "")
        assert one.properties == {
            "max_clock_hz": 2.1e9, "memory_bytes_per_second": 2662400000000.0, "compute_capability": "9.4",
        }  # fmt: skip


def test_kernels_have_stream_grid_block_and_the_op_they_come_from(mi300x):
    k = mi300x.kernels
    assert sorted(set(k.stream[k.device == 0].tolist())) == [15, 16, 17, 18]
    assert k.stream[k.device == 7].tolist() == [37] * 25
    assert k.grid[0].tolist() == [16, 1, 1]
    assert k.block[0].tolist() == [512, 1, 1]
    ops = mi300x.marks["hlo_ops"]
    gemm = next(i for i, name in enumerate(named(mi300x)) if name.startswith("Cijk"))
    assert ops[k.external[gemm]] == (
        "jit_forward_3d_conv", "cudnn-conv.1", "jit(forward_3d_conv)/conv_general_dilated",
    )  # fmt: skip
    assert k.grid[gemm].tolist() == [219, 40, 1]


def test_every_kernel_is_joined_to_the_call_that_launched_it(mi300x):
    k, h = mi300x.kernels, mi300x.host
    assert (k.host >= 0).all()
    assert (h.kind[k.host] == CALL).all()
    assert np.array_equal(h.correlation[k.host], k.correlation)
    launched = {mi300x.names[i] for i in h.name[k.host]}
    assert launched >= {"hipModuleLaunchKernel", "hipExtModuleLaunchKernel", "hipMemcpyDtoDAsync"}
    assert (h.start[k.host] <= k.start).mean() > 0.99


def test_the_whole_file_event_by_event_against_jax():
    """jaxlib's own C++ decoder sees the same planes, lines, names and times."""
    profiler = pytest.importorskip("jax.profiler", reason="jax is not installed")
    path = beside(MI300X)
    mine = READER.read(path, Limits())
    theirs = profiler.ProfileData.from_file(str(path))
    kernels, host = [], []
    for one in theirs.planes:
        rows = [(e.name, round(e.start_ns), round(e.duration_ns)) for line in one.lines for e in line.events]
        if one.name.startswith("/device:"):
            kernels += rows
        elif one.name == "/host:CPU":
            host += rows
    assert _rows(mine, mine.kernels) == kernels
    assert _rows(mine, mine.host) == host
    assert len(host) == 3415
    assert mine.marks["profile_start_time"] == 1771595639214724894
    assert unread(mine) == {"compiled programs (HLO)": 8}


def _rows(trace, columns):
    names = [trace.names[i] for i in columns.name]
    return list(zip(names, columns.start.tolist(), (columns.end - columns.start).tolist(), strict=True))


# ---- a real profile of the processor that runs this test


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    jax = pytest.importorskip("jax", reason="jax is not installed")
    folder = tmp_path_factory.mktemp("profile")
    work = jax.jit(lambda a, b: jax.numpy.tanh(a @ b).sum())
    a = jax.numpy.ones((64, 64))
    work(a, a).block_until_ready()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with jax.profiler.trace(str(folder)):
            for step in range(3):
                with jax.profiler.StepTraceAnnotation("train", step_num=step):
                    work(a, a).block_until_ready()
    (path,) = folder.rglob("*.xplane.pb")
    return path


def test_a_profile_of_this_processor(here):
    trace = read(here)[0]
    host = trace.host
    assert "no plane of a device" in trace.notes[0]
    steps = [trace.names[i] for i in host.name[host.kind == HOST_RANGE] if trace.names[i].startswith("train")]
    assert steps == ["train#0", "train#1", "train#2"]
    assert (host.kind == PYTHON).any()
    assert (host.end >= host.start).all()
    assert host.parent.max() >= 0
    assert {one.vendor for one in trace.devices} == {"cpu"}
    assert len(trace.kernels) >= 3
    assert (host.kind[trace.kernels.host] == OP).all()
    assert {module for module, _, _ in trace.marks["hlo_ops"]} == {"jit__lambda"}


def test_every_event_of_this_processor_against_jax(here):
    profiler = pytest.importorskip("jax.profiler", reason="jax is not installed")
    mine = read(here)[0]
    (threads,) = [p for p in profiler.ProfileData.from_file(str(here)).planes if p.name == "/host:CPU"]
    lines = [(line, list(line.events)) for line in threads.lines]
    assert len(mine.host) == sum(len(events) for _, events in lines)
    starts = [round(e.start_ns) for _, events in lines for e in events]
    assert np.abs(mine.host.start - starts).max() <= 1


# ---- TPUs, by hand: names and stats as libtpu writes them for a v6e

FUSION = (
    "%fusion.3 = bf16[1024,4096]{1,0:T(8,128)(2,1)} fusion(bf16[1024,1024]{1,0} %p0, bf16[1024,4096]{1,0} %p1), "
    "kind=kOutput"
)
REDUCE = (
    "%all-reduce.1 = f32[5,1024]{1,0:T(8,128)} all-reduce(f32[5,1024]{1,0} %bitcast), channel_id=1, "
    "replica_groups=[4,2]<=[2,4]T(1,0), to_apply=%add"
)
WHILE = "%while.2 = (s32[], f32[8]{0}) while((s32[], f32[8]{0}) %tuple), condition=%c, body=%b"
COPY_START = "%copy-start.1 = (f32[8]{0:S(1)}, f32[8]{0}, u32[]) copy-start(f32[8]{0} %p)"
KINDS = {
    FUSION: ("fusion.3", {"hlo_category": "=convolution fusion", "flops": 8589934592, "model_flops": 8589934592,
                          "bytes_accessed": 18874368, "tf_op": "=jit(step)/dot_general:", "program_id": 7}),
    REDUCE: ("all-reduce.1", {"hlo_category": "=all-reduce", "flops": 5120, "bytes_accessed": 40960}),
    WHILE: ("while.2", {"hlo_category": "=while", "flops": 99999}),
    COPY_START: ("copy-start.1", {"hlo_category": "=copy-start"}),
}  # fmt: skip
TPU_STATS = {
    "device_type_string": "TPU v6 Lite", "peak_teraflops_per_second": 918.0, "has_megacore": 0,
    "peak_hbm_bw_gigabytes_per_second": 1640.0, "peak_vmem_rd_bw_gigabytes_per_second": 11000.5,
}  # fmt: skip
US = 1_000_000


def tpu(number=0):
    ops = [
        (FUSION, 10 * US, 20 * US, {"device_offset_ps": 10 * US}),
        (WHILE, 40 * US, 50 * US, {}),
        (FUSION, 41 * US, 20 * US, {}),
        (REDUCE, 61 * US, 9 * US, {}),
        (FUSION, 95 * US, 5 * US + 1, {"flops": 1000}),
    ]
    return plane(
        f"/device:TPU:{number}",
        {
            "Steps": (1, 5000, [("12", 0, 100 * US, {})]),
            "XLA Modules": (2, 5000, [("jit_step(7)", 0, 100 * US, {"run_id": 3})]),
            "XLA Ops": (3, 5000, ops),
            "Async XLA Ops": (4, 5000, [(COPY_START, 5 * US, 30 * US, {}), (REDUCE, 60 * US, 10 * US, {})]),
            "XLA TraceMe": (5, 5000, [("barrier-cores", 0, 2 * US, {})]),
        },
        TPU_STATS, KINDS, id=2 + number,
    )  # fmt: skip


@pytest.fixture
def two(tmp_path):
    return of(tmp_path, space(tpu(0), tpu(1), hosts=["t1v-n-0"], errors=["dropped"]))


def test_tpu_ops_are_kernels_and_loops_ranges(two):
    k = two.kernels
    first = k.at(k.device == 0)
    names = [two.names[i] for i in first.name]
    assert names == [
        "Steps#12", "jit_step(7)", "fusion.3", "while.2", "fusion.3", "all-reduce.1", "fusion.3", "copy-start.1",
        "all-reduce.1",
    ]  # fmt: skip
    assert first.kind.tolist() == [RANGE, RANGE, KERNEL, RANGE, KERNEL, KERNEL, KERNEL, COPY, KERNEL]
    assert first.start[2:5].tolist() == [15000, 45000, 46000]
    assert first.duration[2:5].tolist() == [20000, 50000, 20000]
    assert first.duration[6] == 5000
    assert first.stream.tolist() == [1, 2, 3, 3, 3, 3, 3, 4, 4]
    assert len(k) == 18


def test_tpu_costs_are_those_of_xla_and_unknown_elsewhere(two):
    flops = two.metric("xla_flops")
    assert flops.unit == "flop"
    assert np.isnan(flops.values[[0, 1, 3, 7]]).all()
    assert flops.values[[2, 4, 5, 6]].tolist() == [2**33, 2**33, 5120, 1000]
    assert two.metric("xla_bytes_accessed").values[2] == 18874368
    assert two.metric("xla_model_flops").values[2] == 2**33
    assert np.isnan(two.metric("xla_model_flops").values[5])


def test_tpu_collectives_are_read_from_their_text(two):
    k = two.kernels
    talks = np.flatnonzero(k.collective >= 0)
    assert talks.tolist() == [5, 8, 14, 17]
    assert two.collectives[k.collective[5]] == Collective("all-reduce", 5120, 5120, "f32", 2)


def test_tpu_device_and_what_is_said(two):
    one = two.devices[1]
    assert (one.id, one.name, one.vendor) == (1, "TPU v6 Lite", "google")
    assert one.properties["peak_flops_per_second"] == 918e12
    assert one.properties["peak_hbm_bytes_per_second"] == 1640e9
    assert one.properties["peak_vmem_rd_bytes_per_second"] == 11000.5e9
    assert unread(two) == {"events of the line 'XLA TraceMe'": 2}
    assert two.notes == ("The profiler says: dropped",)
    assert two.marks["hosts"] == ("t1v-n-0",)
    assert ("", "fusion.3", "jit(step)/dot_general") in two.marks["hlo_ops"]


def test_the_hand_written_file_is_one_that_jax_reads_the_same(two, tmp_path):
    profiler = pytest.importorskip("jax.profiler", reason="jax is not installed")
    theirs = profiler.ProfileData.from_file(str(tmp_path / "a.xplane.pb"))
    events = [(e.name, e.start_ns, e.duration_ns) for line in next(iter(theirs.planes)).lines for e in line.events]
    assert len(events) == 10
    assert events[2] == (FUSION, 15000.0, 20000.0)
    stats = dict(next(iter(theirs.planes)).stats)
    assert stats["device_type_string"] == "TPU v6 Lite"


def test_an_op_that_overhangs_its_neighbour_is_no_loop(tmp_path):
    """Ticks of the device's clock let neighbours overlap a little; only what lies wholly inside makes a loop."""
    ops = [("a", 0, 10 * US, {}), ("b", 10 * US - 5, 10 * US, {}), ("marker", 15 * US, 0, {})]
    trace = of(tmp_path, space(plane("/device:TPU:0", {"XLA Ops": (1, 0, ops)})))
    assert trace.kernels.kind.tolist() == [KERNEL] * 3


@pytest.mark.parametrize(
    ("text", "opcode", "found"),
    [
        (FUSION, "fusion", None),
        (WHILE, "while", None),
        ("%ar = f32[8]{0} all-reduce-start(f32[8]{0} %x), replica_groups={{0,1,2,3},{4,5,6,7}}", "all-reduce-start",
         Collective("all-reduce", 8, None, "f32", 4)),
        ("%ag = bf16[16,8]{1,0} all-gather(bf16[2,8]{1,0} %x), replica_groups=[1,8]<=[8], dimensions={0}", "all-gather",
         Collective("all-gather", 16, 128, "bf16", 8)),
        ("%rs = (f32[4]{0}, f32[2]{0}) reduce-scatter(f32[8]{0} %x, f32[4]{0} %y), replica_groups={{0,1}}",
         "reduce-scatter", Collective("reduce-scatter", 12, 6, "f32", 2)),
        ("collective-permute.7", "", Collective("collective-permute")),
        ("%cp = f32[] collective-permute(f32[] %x)", "collective-permute",
         Collective("collective-permute", 1, 1, "f32")),
        ("%d = f32[<=8] all-reduce(f32[<=8] %x)", "all-reduce", Collective("all-reduce", None, None, "f32")),
        ("fusion", "", None),
        ("", "", None),
    ],
)  # fmt: skip
def test_texts_of_instructions(text, opcode, found):
    """HLO text as documented at https://openxla.org/xla/operation_semantics."""
    assert hlo.opcode(text) == opcode
    assert hlo.collective(text) == found


# ---- GPUs of NVIDIA, by hand: details as XLA's CUPTI tracer writes them


def test_copies_fills_graphs_and_derived_lines(tmp_path):
    gemm = {"correlation_id": 5, "hlo_op": "=dot.1", "hlo_module": "=jit_f", "tf_op": "=jit(f)/dot:",
            "kernel_details": "regs:64 static_shared:0 dynamic_shared:512 grid:8,4,2 block:128,1,1 occ_pct:25",
            "cuda_graph_node_id": 9}  # fmt: skip
    lines = {
        "Stream #14(MemcpyH2D,Compute)": (14, 100, [
            ("MemcpyH2D", 0, 3 * US, {"correlation_id": 4, "memcpy_details": "kind:H2D size:4096 dest:0 async:1"}),
            ("sm90_gemm", 4 * US, 6 * US, gemm),
            ("Memset", 11 * US, US, {"Memset_details": "kind:device num_bytes:256 async:1"}),
            ("MemcpyD2D", 12 * US, US, {"memcpy_details": "kind:Unknown size:0 dest:512 async:1"}),
        ]),
        "XLA Ops": (102, 100, [("dot.1", 4 * US, 6 * US, {})]),
        "XLA Modules": (101, 100, [("jit_f", 4 * US, 6 * US, {})]),
        "Steps": (100, 100, [("3", 0, 13 * US, {})]),
    }  # fmt: skip
    said = {"device_vendor": "Nvidia", "clock_rate": 1980000, "core_count": 132, "compute_cap_major": 9,
            "compute_cap_minor": 0, "gpu_device_name": "NVIDIA H100 80GB HBM3"}  # fmt: skip
    calls = {"main": (7, 90, [("cuMemcpyHtoDAsync_v2", 0, 5000, {"correlation_id": 4}),
                              ("cuLaunchKernelEx", 9000, 4000, {"correlation_id": 5}),
                              ("step", 0, 20 * US, {"step_num": 3})])}  # fmt: skip
    trace = of(tmp_path, space(plane("/device:GPU:2", lines, said), plane("/host:CPU", calls)))
    k, host = trace.kernels, trace.host
    assert k.kind.tolist() == [COPY, KERNEL, SET, COPY, RANGE, RANGE]
    assert k.bytes.tolist() == [4096, -1, 256, -1, -1, -1]
    assert k.graph.tolist() == [-1, 9, -1, -1, -1, -1]
    assert (k.grid[1].tolist(), k.block[1].tolist()) == ([8, 4, 2], [128, 1, 1])
    assert k.host.tolist() == [0, 1, -1, -1, -1, -1]
    assert trace.marks["hlo_ops"][k.external[1]] == ("jit_f", "dot.1", "jit(f)/dot")
    assert unread(trace) == {"events of the line 'XLA Ops'": 1}
    assert [trace.names[i] for i in host.name] == ["cuMemcpyHtoDAsync_v2", "cuLaunchKernelEx", "step#3"]
    assert host.parent.tolist() == [2, 2, -1]
    (device,) = trace.devices
    assert (device.id, device.name, device.vendor, device.units, device.capability) == (
        2, "NVIDIA H100 80GB HBM3", "nvidia", 132, "9.0",
    )  # fmt: skip
    assert device.properties == {"max_clock_hz": 1.98e9}


def test_events_that_touch_still_touch_in_whole_nanoseconds(tmp_path):
    """Four events of 1.5 ns on end last 6 ns together, whatever each is rounded to."""
    events = [("a", 1500 * i, 1500, {}) for i in range(4)]
    k = of(tmp_path, space(plane("/device:GPU:0", {"Stream #1": (1, 7, events)}))).kernels
    assert k.start.tolist() == [7, 8, 10, 11]
    assert k.end.tolist() == [8, 10, 11, 13]


# ---- hostile files


def test_absurd_times_are_told_or_unknown(tmp_path):
    events = [("a", 2**63 - 1, 2**63 - 1, {}), ("b", -5, -7, {}), ("c", 0, 2**64 - 1, {}), ("d", 1000, 2**62 - 1, {})]
    lines = {"Stream #1": (1, 10**18, events), "Stream #2": (2, 2**63 - 1, events)}
    trace = of(tmp_path, space(plane("/device:GPU:0", lines)))
    assert len(trace.kernels) == 4
    assert trace.kernels.timed.tolist() == [False, False, False, True]
    assert unread(trace)["events of a device without a time"] == 4


def test_kinds_that_are_missing_and_wrong_types(tmp_path):
    data = plane("/device:GPU:0", {"Stream #1": (1, 0, [("a", 0, US, {"correlation_id": "no", "kernel_details": 5})])})
    whole = space(data)
    trace = of(tmp_path, whole.replace(b"\x12\x01a", b"\x1a\x01a"))
    assert named(trace) == [""]
    assert trace.kernels.correlation.tolist() == [-1]
    assert trace.kernels.grid.tolist() == [[-1, -1, -1]]


def test_aggregated_events_have_no_time_and_are_counted(tmp_path):
    data = space(plane("/device:GPU:0", {"Stream #1": (1, 0, [("a", 0, US, {}), ("b", 1, US, {})])}))
    trace = of(tmp_path, data.replace(b"\x10\x01\x18\xc0\x84\x3d", b"\x28\x01\x18\xc0\x84\x3d"))
    assert len(trace.kernels) == 1
    assert unread(trace) == {"events of a device without a time": 1}


def test_no_events_at_all(tmp_path):
    with pytest.raises(BadFile, match="no event of an XLA profile"):
        of(tmp_path, space(plane("/host:CPU", {}), errors=["out of memory"]))


def test_recognised_by_content_only(tmp_path):
    path = tmp_path / "renamed.bin"
    path.write_bytes(gzip.compress(space(tpu())))
    assert READER.recognises(head_of(path, Limits()))
    assert len(read(path)[0].kernels) == 9
    for data in (b"", b"{}", b"\x0a", b"\x0a\x05hello", b"\x0a\x04\x12\x02ab", b"NVR\x00" * 9, b"SQLite format 3\x00"):
        path.write_bytes(data)
        assert not READER.recognises(head_of(path, Limits()))


def test_no_more_lines_and_planes_are_read_than_a_profile_has(tmp_path, monkeypatch):
    monkeypatch.setattr("flopsight.readers.xplane.space.MOST_PLANES", 40)
    monkeypatch.setattr("flopsight.readers.xplane.rows.MOST_LINES", 100)
    line = {"x": (1, 0, [])}
    many = space(*[plane("/host:CPU", {"x": (1, 0, [("a", 0, 1, {})])})], *[plane("/device:GPU:1", line)] * 50)
    trace = of(tmp_path, many)
    assert len(trace.host) == 1
    assert unread(trace)["the end of the file"] == 1
    lines = plane("/host:CPU", {f"{n}": (n, 0, [("a", 0, 1, {})]) for n in range(150)})
    trace = of(tmp_path, space(lines))
    assert len(trace.host) == 100
    assert unread(trace) == {"lines": 50}


def test_cut_anywhere(tmp_path):
    """A file that ends early gives what is whole and says so, or says why nothing can be read."""
    data = space(tpu(), plane("/host:CPU", {"main": (1, 0, [("x", 0, US, {})])}))
    path, between = tmp_path / "cut.xplane.pb", len(space(tpu()))
    for end in range(0, len(data), 7):
        path.write_bytes(data[:end])
        with contextlib.suppress(BadFile):
            assert READER.read(path, Limits()).unread or end == between


def test_changed_anywhere(tmp_path):
    chance, path = random.Random(5), tmp_path / "changed.xplane.pb"
    seeds = (space(tpu()), gzip.decompress(kept("xplane/mi300x_jax_conv.xplane.pb.gz").read_bytes()))
    for round_ in range(300):
        data = bytearray(seeds[round_ % 25 == 0])
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        path.write_bytes(data)
        with contextlib.suppress(FlopsightError):
            READER.read(path, Limits())
