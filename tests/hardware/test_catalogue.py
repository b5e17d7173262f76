"""The data: all there, in step with its compiled copy, consistent with itself, and every number with its origin."""

import json

import pytest

from flopsight.facts import Fact, Unknown
from flopsight.hardware.catalog import all_driver_names, builtin_chips, find, short_names
from flopsight.hardware.compiled import DATA, compile_all
from flopsight.hardware.cpus import cpus
from flopsight.hardware.interconnect import links

CHIPS = builtin_chips()
BY_ID = pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.id)

# Where units x FLOP per clock x `peak_basis` leaves the data sheet by more than 2 %, and why.
OFF_THE_FORMULA = {
    "nvidia-h20-96gb": (4.27, "export limit"),
    "nvidia-h20-3e-141gb": (4.27, "export limit"),
    "nvidia-b200-sxm": (1.059, "1856 MHz"),
    "nvidia-b300-sxm": (1.095, "1856 MHz"),
    "nvidia-gb200-nvl72-gpu": (1.027, "2008 MHz"),
    "nvidia-gb10": (0.951, "2.54 GHz"),
}


def test_the_catalogue_is_complete():
    assert (len(CHIPS), len(links()), len(cpus())) == (99, 59, 10)
    for found in (CHIPS, links(), cpus()):
        assert len({each.id for each in found}) == len(found)


def test_the_compiled_copy_is_in_step_with_the_files_people_edit():
    for name, blob in compile_all().items():
        assert (DATA / "compiled" / f"{name}.jsonl").read_bytes() == blob, "run python -m flopsight.hardware.compiled"


@BY_ID
def test_every_number_names_a_source_or_carries_a_mark(chip):
    facts = [chip.memory_bytes, chip.visible_bytes, chip.memory_bandwidth(), chip.memory_bandwidth("measured")]
    facts += [chip.power, chip.host_link, chip.scale_out]
    facts += [known for _, _, row in chip.peaks() for known in row.values()]
    if fabric := chip.fabric:
        facts += [fabric.one_way, fabric.pair, fabric.per_link, fabric.both_ways]
    for known in facts:
        if isinstance(known, Fact):
            assert known.source or known.kind in ("recalled", "assumed"), known
            assert known.value > 0
        else:
            assert isinstance(known, Unknown)
            assert known.why


def test_few_numbers_have_neither_source_nor_recollection():
    assumed = {
        (chip.id, engine, dtype)
        for chip in CHIPS
        for engine, dtype, row in chip.peaks()
        if isinstance(row["datasheet"], Fact) and row["datasheet"].kind == "assumed"
    }
    assert not assumed


def test_formula_is_checked_for_64_chips():
    assert sum(chip.record.check is not None for chip in CHIPS) == 64


@pytest.mark.parametrize("chip", [c for c in CHIPS if c.record.check], ids=lambda chip: chip.id)
def test_units_and_clock_reproduce_the_data_sheet(chip):
    record = chip.record
    dtype = record.check.dtype
    formula = record.units.count * record.flop_per_unit_per_clock[dtype] * record.clock.peak_basis
    ratio = formula / record.peak.matrix[dtype]
    expected, reason = OFF_THE_FORMULA.get(chip.id, (1.0, ""))
    assert ratio == pytest.approx(expected, rel=0.002 if reason else 0.02)
    assert reason in record.check.because
    assert bool(reason) == bool(record.check.because)


@BY_ID
def test_wider_formats_are_not_faster(chip):
    rates = chip.record.peak.matrix
    order = ["tf32", "bf16", "fp8", "fp6", "fp4"]
    for wide, narrow in ((a, b) for i, a in enumerate(order) for b in order[i + 1 :]):
        if wide in rates and narrow in rates:
            assert rates[wide] <= rates[narrow]
    if "bf16" in rates and "fp16" in rates and chip.id != "intel-gaudi3":  # Intel's own table has FP16 at a quarter
        assert rates["bf16"] <= rates["fp16"]


@pytest.mark.parametrize(
    "chip", [c for c in CHIPS if c.fabric and isinstance(c.fabric.one_way, Fact)], ids=lambda chip: chip.id
)
def test_links_add_up_and_both_ways_is_twice_one_way(chip):
    fabric = chip.fabric
    assert fabric.both_ways.value == 2 * fabric.one_way.value
    if fabric.links and isinstance(fabric.per_link, Fact):
        assert fabric.links * fabric.per_link.value == pytest.approx(fabric.one_way.value, rel=0.03)
    if isinstance(fabric.pair, Fact):
        assert fabric.pair.value <= fabric.one_way.value


@pytest.mark.parametrize("link", links(), ids=lambda link: link.id)
def test_links_of_the_catalogue_add_up(link):
    record = link.record
    assert record.sources or record.recalled
    if isinstance(link.one_way, Fact):
        assert link.both_ways.value == 2 * link.one_way.value
        if record.links and record.per_link:
            assert record.links * record.per_link == pytest.approx(record.one_way, rel=0.03)


@BY_ID
def test_a_recalled_field_is_marked_wherever_it_is_read(chip):
    for dtype in chip.record.peak.matrix:
        field = f"peak.matrix.{dtype}"
        if field in chip.record.recalled or "peak.matrix" in chip.record.recalled:
            assert chip.peak(dtype).kind == "recalled"


def test_announced_parts_are_labelled():
    announced = [chip for chip in CHIPS if chip.status == "announced"]
    assert {chip.id for chip in announced} >= {"nvidia-rubin", "amd-mi455x", "google-tpu-8t"}
    for chip in announced:
        assert "(announced)" in chip.label
        kinds = {row["datasheet"].kind for _, _, row in chip.peaks() if isinstance(row["datasheet"], Fact)}
        assert kinds <= {"announced", "recalled"}


def test_driver_strings_belong_to_one_chip_unless_marked_ambiguous():
    owner = {}
    for chip in CHIPS:
        for string in all_driver_names(chip) - set(chip.record.names.ambiguous):
            assert owner.setdefault(string, chip.id) == chip.id


def test_short_names_lead_somewhere():
    for short, chip_id in short_names().items():
        assert find(short).id == chip_id


@BY_ID
def test_a_chip_travels_as_json(chip):
    body = json.loads(json.dumps(chip.as_dict()))
    assert body["record"]["id"] == chip.id


def test_cpu_peak_is_cores_times_clock_times_rate():
    genoa = next(cpu for cpu in cpus() if cpu.id == "amd-epyc-9004-genoa")
    sku = next(sku for sku in genoa.skus if sku.name == "EPYC 9654")
    # 96 cores x 2.4 GHz x 32 FLOP, by hand
    assert genoa.peak("fp32", cores=sku.cores, clock_hz=sku.base).value == 7_372_800_000_000
    spr = next(cpu for cpu in cpus() if cpu.id == "intel-xeon-sapphire-rapids")
    assert spr.flop_per_cycle("bf16").value == 1024
    assert spr.flop_per_cycle("bf16", "avx512").value == 128
    assert isinstance(spr.flop_per_cycle("fp64", "amx"), Unknown)
