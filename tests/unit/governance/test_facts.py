"""Facts that no policy could be trusted to read are refused before any policy sees them."""

import pytest

from apps.governance import facts


def test_what_nobody_says_has_the_cautious_default():
    merged = facts.merge(claimed={}, known={})
    assert merged == facts.DEFAULTS
    assert (merged["granted"], merged["egress"], merged["approved"]) == (False, True, False)


@pytest.mark.parametrize(
    ("claimed", "message"),
    [
        ({"colour": "red"}, "'colour' is unknown; known facts: role"),
        ({"risk": "Irreversible"}, "must be 'irreversible' or 'read' or 'write'"),
        ({"tainted": "no"}, "must be bool"),
        ({"approved": 1}, "must be bool"),
        ({"role": "admin"}, "cannot be claimed"),
        ({"granted": True}, "cannot be claimed"),
    ],
)
def test_a_claim_outside_the_vocabulary_is_refused(claimed, message):
    with pytest.raises(facts.UnusableFactError, match=message):
        facts.merge(claimed=claimed, known={})


def test_a_provider_is_held_to_the_same_vocabulary():
    with pytest.raises(facts.UnusableFactError, match="role"):
        facts.merge(claimed={}, known={"role": "owner"})


def test_what_the_provider_knows_wins_over_what_the_caller_claims():
    assert facts.merge(claimed={"tainted": False}, known={"tainted": True})["tainted"] is True
