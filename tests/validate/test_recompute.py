"""Published utilizations come out of published throughput under the convention each row names."""

import pytest

from flopsight import api
from flopsight.validate.rounding import by_whole_sequences, half_digit
from tests.validate import rows

FACTS = [*rows.palm()[:2], *rows.korthikanti(), *rows.narayanan(), *rows.foundry(), *rows.bridge(), *rows.others()]


def outcome(tmp_path, facts):
    return api.validate(rows.write(tmp_path, facts))


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact["id"])
def test_published_number_comes_out(tmp_path, fact):
    (found,) = outcome(tmp_path, [fact]).rows
    assert found.within, (found.published, found.ours, found.why)
    assert abs(found.rel_error) < 0.0125


@pytest.mark.parametrize(
    ("name", "printed", "digits"),
    [
        ("palm", 46.2, 1),
        ("korthikanti-1T", 56.3, 1),
        ("mpt-70b", 41.25, 2),
        ("titan-a100", 50.8, 1),
    ],
)
def test_to_the_printed_digit(tmp_path, name, printed, digits):
    (found,) = outcome(tmp_path, [fact for fact in FACTS if fact["id"] == name]).rows
    assert round(found.ours, digits) == printed


def test_gpt3_of_palm_table_3_does_not_recompute_and_is_kept_apart(tmp_path):
    result = outcome(tmp_path, rows.palm())
    gpt3 = next(row for row in result.rows if row.id == "gpt-3")
    assert round(gpt3.ours, 1) == 20.2
    assert gpt3.published == 21.3
    assert gpt3.within is False
    assert gpt3.set == "published_issue"
    assert result.recompute["all"].rows == 2
    assert result.recompute["published_issue"].max_abs_rel_error == pytest.approx(0.0505, abs=1e-3)
    assert "gpt-3" in result.to_text()


def test_hfu_doubles_the_attention_term_of_selective_recompute(tmp_path):
    found = outcome(tmp_path, rows.korthikanti()).rows
    hfu = [next(one for one in row.also if one.quantity == "hfu_pct") for row in found]
    assert all(one.within for one in hfu)


def test_a_wrong_print_is_a_miss_and_comes_first(tmp_path):
    wrong = rows.korthikanti()[1]
    wrong["measured"]["mfu_pct"] = 54.0
    result = outcome(tmp_path, [*rows.korthikanti()[2:], wrong])
    assert [row.id for row in result.misses()] == ["korthikanti-175B"]
    text = result.to_text()
    assert text.index("korthikanti-175B") < text.index("Published utilization")
    assert result.headline().startswith("2 of 3 recomputation rows")


def test_a_convention_that_no_word_names_is_not_guessed(tmp_path):
    fact = rows.bridge()[0] | {"convention": "counted somehow"}
    (found,) = outcome(tmp_path, [fact]).rows
    assert found.ours is None
    assert "no convention of ours" in found.why


def test_a_model_without_dimensions_is_not_guessed(tmp_path):
    fact = rows.bridge()[0] | {"model": {"name": "Strange 9B", "layers": 4}}
    (found,) = outcome(tmp_path, [fact]).rows
    assert found.ours is None
    assert "model.d_model" in found.why


def test_several_counts_are_said(tmp_path):
    (found,) = outcome(tmp_path, [fact for fact in FACTS if fact["id"] == "v6e-8b"]).rows
    assert "more than one count" in found.notes[0]
    assert found.counted.startswith("maxtext-2024")


def test_whole_run_utilization_stands_alone(tmp_path):
    measured = {"gpu_hours": 30.84e6, "training_tokens": 15.6e12}
    fact = rows.row(
        "run", "gpu-hours", "whole-run utilization = 6*N_active*tokens", rows.LLAMA_405B, measured, peak=989.4
    )
    (found,) = outcome(tmp_path, [fact]).rows
    assert found.published is None
    assert found.within is None
    assert found.ours == pytest.approx(34.6, abs=0.05)


@pytest.mark.parametrize(
    ("value", "half"),
    [(47, 0.5 / 47), (46.2, 0.05 / 46.2), (55.0, 0.05 / 55), (74100.0, 50 / 74100), (2.17e16, 5e13 / 2.17e16)],
)
def test_half_a_digit(value, half):
    assert half_digit(value) == pytest.approx(half)


def test_rates_printed_in_whole_sequences():
    assert by_whole_sequences(864, 8192, 256) == pytest.approx(0.5 / 27)
    assert by_whole_sequences(843, 8192, 256) == 0
