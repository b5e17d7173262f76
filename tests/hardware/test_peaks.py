"""Known peaks by exact driver string, and what is refused rather than guessed."""

import pytest

from flopsight.errors import UnknownHardware, UsageError
from flopsight.facts import Fact, Unknown
from flopsight.hardware.catalog import builtin_chips, find, match_driver, node

T = 10**12

# Published dense BF16 tensor peaks (FP16 where there is no BF16), of one software device, by what the driver says.
KNOWN = [
    ("torch", "NVIDIA A100-SXM4-80GB", 312.0), ("torch", "NVIDIA A100-PCIE-40GB", 312.0),
    ("torch", "NVIDIA A100 80GB PCIe", 312.0), ("torch", "NVIDIA H100 80GB HBM3", 989.4),
    ("nvidia_smi", "NVIDIA H100 80GB HBM3", 989.4), ("torch", "NVIDIA H100 PCIe", 756.0),
    ("torch", "NVIDIA H100 NVL", 835.5), ("torch", "NVIDIA H200", 989.4), ("torch", "NVIDIA H200 NVL", 835.5),
    ("torch", "NVIDIA H20", 148.0), ("torch", "NVIDIA H800", 989.4), ("torch", "NVIDIA B200", 2250.0),
    ("torch", "NVIDIA B300 SXM6 AC", 2250.0), ("torch", "NVIDIA GB200", 2500.0), ("torch", "NVIDIA GB300", 2500.0),
    ("torch", "NVIDIA L4", 121.0), ("torch", "NVIDIA L40", 181.0), ("torch", "NVIDIA L40S", 362.0),
    ("torch", "NVIDIA A10G", 70.0), ("torch", "NVIDIA A10", 125.0), ("torch", "NVIDIA A40", 149.7),
    ("torch", "NVIDIA RTX A6000", 154.8), ("torch", "NVIDIA RTX 6000 Ada Generation", 364.2),
    ("torch", "NVIDIA GeForce RTX 3090", 71.2), ("torch", "NVIDIA GeForce RTX 4090", 165.2),
    ("torch", "NVIDIA GeForce RTX 5090", 209.5), ("torch", "AMD Instinct MI300X", 1307.4),
    ("torch", "AMD Instinct MI325X", 1307.4), ("torch", "AMD Instinct MI250X", 191.5),
    ("torch", "AMD Instinct MI355X", 2516.6), ("rocm", "AMD Instinct MI300X", 1307.4),
    ("jax", "TPU v4", 275.0), ("jax", "TPU v5 lite", 197.0), ("jax", "TPU v5", 459.0), ("jax", "TPU v6 lite", 918.0),
    ("jax", "TPU v3", 61.5), ("tpu_type", "v5litepod", 197.0),
]  # fmt: skip


@pytest.mark.parametrize(("driver", "string", "expected"), KNOWN)
def test_known_peaks(driver, string, expected):
    chip = match_driver(driver, string)
    peak = chip.per_software_device(chip.peak("bf16"))
    assert peak.value == pytest.approx(expected * T, rel=0.003)


def test_v100_and_t4_have_no_bf16_and_do_not_borrow_another():
    for string, fp16 in (("Tesla V100-SXM2-32GB", 125), ("Tesla T4", 65)):
        chip = match_driver("torch", string)
        assert isinstance(chip.peak("bf16"), Unknown)
        assert chip.peak("fp16").value == pytest.approx(fp16 * T, rel=0.01)


AMBIGUOUS = ["NVIDIA H100", "AMD Radeon Graphics", "Orin", "mps", "NVIDIA A100-SXM4-40GB MIG 1g.5gb"]


@pytest.mark.parametrize("string", [*AMBIGUOUS, "NVIDIA RTX A4000", "NVIDIA H100 80GB", "nvidia h100", ""])
def test_a_driver_string_that_is_not_exactly_known_gives_no_chip(string):
    for driver in ("torch", "nvidia_smi", "jax", "rocm", "other"):
        found = match_driver(driver, string)
        assert isinstance(found, Unknown), found
        assert found.why


def test_an_ambiguous_string_says_what_to_read_next():
    assert "SM count 132" in match_driver("torch", "NVIDIA H100").why


def test_no_prefix_or_suffix_of_a_driver_string_matches():
    for driver, string, _ in KNOWN:
        known = {name for chip in builtin_chips() for name in getattr(chip.record.names, driver)}
        for cut in {string[:-1], string[1:], string + " ", string + "S", "x" + string} - known:
            assert isinstance(match_driver(driver, cut), Unknown), cut


@pytest.mark.parametrize(
    "text",
    ["8xH100-SXM", "8 x h100-sxm5-80gb", "h100-sxm:8", "8x NVIDIA H100 80GB HBM3", "nvidia-h100-sxm5-80gb:8",
     "8×h100-sxm", "8*h100-sxm", "H100-SXM x 8"],
)  # fmt: skip
def test_ways_to_write_eight(text):
    found = node(text)
    assert (found.count, found.chip.id) == (8, "nvidia-h100-sxm5-80gb")
    assert node(found.name) == found
    assert found.peak("bf16").value == 8 * 989_400_000_000_000


def test_other_spellings():
    assert node("2xA100-80GB").chip.id == "nvidia-a100-sxm4-80gb"
    assert node("2x4090").name == "2xnvidia-rtx-4090"
    assert node("v5litepod-16").name == "16xgoogle-tpu-v5e"
    assert node("v4-8").name == "4xgoogle-tpu-v4"
    assert node("1000000xh200").count == 10**6
    for chip in builtin_chips():
        assert find(chip.id) == chip
        assert find(f"{chip.vendor} {chip.name}") == chip


@pytest.mark.parametrize(
    "text", ["H100", "nvidia h100", "A100", "h800", "GH200", "rtx pro 6000", "V100", "ascend 910B"]
)
def test_a_name_of_several_parts_is_refused_with_the_candidates(text):
    with pytest.raises(UnknownHardware, match="could be "):
        find(text)


def test_h100_lists_every_form_factor():
    with pytest.raises(UnknownHardware) as caught:
        node("8xH100")
    for form in ("nvidia-h100-sxm5-80gb", "nvidia-h100-pcie-80gb", "nvidia-h100-nvl-94gb"):
        assert form in str(caught.value)


@pytest.mark.parametrize(
    ("text", "near"), [("NVIDIA RTX A4000", "a6000"), ("h100-smx", "nvidia-h100-sxm5-80gb"), ("MI300", "amd-mi300x")]
)
def test_a_typo_is_answered_with_the_nearest_names(text, near):
    with pytest.raises(UnknownHardware, match=near):
        find(text)


@pytest.mark.parametrize("text", ["0xh200", "1000001xh200", "99999999999999xh200", "v4-7", "", "   ", "x" * 500])
def test_absurd_counts_and_names(text):
    with pytest.raises(UsageError):
        node(text)


@pytest.mark.parametrize("text", ["8x", "x", "::8", "-1xh200", "8 h200 8", "\x00", "💥", "../../etc/passwd", "h200:-1"])
def test_nonsense_is_one_typed_error(text):
    with pytest.raises(UsageError):
        node(text)


def test_three_bases_name_themselves():
    h100 = find("h100-sxm")
    assert h100.peak("bf16", basis="clock").value == 132 * 4096 * 1_980_000_000
    assert h100.peak("bf16", basis="clock", clock_hz=1_830_000_000).value == pytest.approx(989.4 * T, rel=1e-4)
    measured = h100.peak("bfloat16", basis="measured")
    assert (measured.value, measured.kind) == (794_500_000_000_000, "measured")
    assert "2048x2048x13312" in measured.note
    assert isinstance(h100.peak("fp64", basis="measured"), Unknown)


def test_a_sourced_measurement_beats_a_recalled_one():
    measured = find("mi300x").peak("bf16", basis="measured")
    assert (measured.value, measured.kind) == (668_400_000_000_000, "measured")


def test_a_capped_part_has_no_clock_peak():
    for name, dtype in (("h20", "bf16"), ("h800-sxm", "fp64")):
        assert "capped" in find(name).peak(dtype, basis="clock").why


def test_a_missing_format_is_unknown_with_a_sentence():
    why = find("h100-sxm").peak("fp4").why
    assert "lists no fp4 matrix rate" in why
    assert "no dense fp8 rate is settled" in find("mi455x").peak("fp8").why
    assert "sparse" in find("wse-3").peak("fp16").why
    assert isinstance(find("m4-max").peak("bf16"), Unknown)
    assert find("m4-max").peak("fp16", engine="vector").value == 18_400_000_000_000


def test_sparse_only_when_asked():
    h100 = find("h100-sxm")
    sparse = h100.peak("fp8", sparse=True)
    assert sparse.value == 2 * h100.peak("fp8").value
    assert "sparsity" in sparse.note
    assert find("b300").peak("fp4", sparse=True).value == 18 * 10**15
    assert find("trainium2").peak("fp8", sparse=True).value == 2563 * T
    assert isinstance(find("a40").peak("fp64", sparse=True), Unknown)
    assert isinstance(find("mi355x").peak("fp4", sparse=True), Unknown)


def test_formats_have_synonyms_and_unknown_ones_are_refused():
    h100 = find("h100-sxm")
    for synonym in ("bf16", "BF16", "bfloat16", "torch.bfloat16"):
        assert h100.peak(synonym).value == 989_400_000_000_000
    for synonym in ("fp8", "fp8_e4m3", "float8_e4m3fn", "float8_e5m2"):
        assert h100.peak(synonym).value == 1_978_900_000_000_000
    for bad in ("bf17", "", "int64", "q4_k"):
        with pytest.raises(UsageError):
            h100.peak(bad)


def test_wrong_engine_basis_and_clock_are_refused():
    h100 = find("h100-sxm")
    for wrong in ({"engine": "tensor"}, {"basis": "boost"}, {"clock_hz": 1e9}):
        with pytest.raises(UsageError):
            h100.peak("bf16", **wrong)
    for clock in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError):
            h100.peak("bf16", basis="clock", clock_hz=clock)


def test_memory():
    h100 = find("h100-sxm")
    assert h100.memory_bytes.value == 80 * 2**30
    assert h100.visible_bytes.value == 81559 * 2**20
    assert h100.memory_bandwidth().value == 3_350_000_000_000
    assert h100.memory_bandwidth("measured").kind == "measured"
    assert isinstance(h100.memory_bandwidth("clock"), Unknown)
    assert node("8xh100-sxm").memory_bytes.value == 640 * 2**30


def test_in_a_mesh_two_chips_share_a_fraction():
    mesh, switch = find("mi300x").fabric, find("h100-sxm").fabric
    assert (mesh.pair.value, mesh.one_way.value) == (64 * 10**9, 448 * 10**9)
    assert switch.pair == Fact(**{**_plain(switch.pair), "value": switch.one_way.value})


def _plain(fact):
    return {name: getattr(fact, name) for name in Fact.__dataclass_fields__}
