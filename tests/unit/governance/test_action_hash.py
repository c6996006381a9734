"""The hash that binds an approval: equal for the same call, different for any other."""

import math

import pytest

from apps.governance.services.approvals import hash_action
from octavo.kernel.errors import InvalidInput

CALL = {"tool": "pay", "arguments": {"to": "ada", "amount": 5}, "bundle": "ab"}


def test_the_order_and_form_of_arguments_do_not_matter():
    same = {**CALL, "arguments": {"amount": 5.0, "to": "ada"}}
    assert hash_action(**same) == hash_action(**CALL)


@pytest.mark.parametrize(
    "change",
    [
        {"tool": "refund"},
        {"arguments": {"to": "ada", "amount": 6}},
        {"arguments": {"to": "ada", "amount": "5"}},
        {"bundle": "cd"},
    ],
)
def test_any_other_call_or_policy_hashes_differently(change):
    assert hash_action(**{**CALL, **change}) != hash_action(**CALL)


@pytest.mark.parametrize("value", [math.nan, 2**60])
def test_arguments_without_a_canonical_form_are_refused(value):
    with pytest.raises(InvalidInput, match="no canonical JSON form"):
        hash_action(tool="pay", arguments={"amount": value}, bundle="ab")
