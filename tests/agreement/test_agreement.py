"""Counted equals the ledger, place by place, but for the causes that are listed."""

import pytest

pytest.importorskip("transformers")

from tests.agreement.cases import CASES, FORMS, checked
from tests.agreement.causes import FORM, OTHER, WORK


@pytest.mark.oracle
@pytest.mark.parametrize("name", CASES)
def test_counted_equals_the_ledger(name):
    found = checked(name)
    assert found.uncounted == ()
    assert found.full == found.expected_full
    assert found.required == found.expected_required
    assert found.causes == FORMS.get(name, frozenset())


def test_every_listed_cause_belongs_to_a_case():
    assert set(OTHER) <= set(CASES)
    assert set(FORMS) <= set(CASES)
    assert {one.cause for one in OTHER.values()} == set(WORK)
    assert {cause for causes in FORMS.values() for cause in causes} == set(FORM)
