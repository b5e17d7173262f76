"""Counted equals the ledger, place by place, but for the causes that are listed."""

import pytest

pytest.importorskip("transformers")

from tests.agreement.cases import ABSENT, CASES, LISTED, checked
from tests.agreement.causes import CAUSES
from tests.agreement.forms import BY_CAUSE


@pytest.mark.oracle
@pytest.mark.parametrize("name", CASES)
def test_counted_equals_the_ledger(name):
    found = checked(name)
    assert found.uncounted == ()
    assert found.full == found.explained_full
    assert found.required == found.explained_required
    assert found.causes == LISTED[name]


def test_every_listed_name_is_a_case_and_every_cause_has_one():
    assert list(BY_CAUSE) == list(CAUSES)
    assert all(BY_CAUSE.values())
    assert {name for names in BY_CAUSE.values() for name in names} <= set(CASES)


def test_every_family_that_transformers_has_is_run_or_said_to_be_absent():
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    from flopsight.models.families import known

    run = {case.raw["model_type"] for case in CASES.values()}
    assert set(known()) & set(CONFIG_MAPPING_NAMES) - run == set(ABSENT)
