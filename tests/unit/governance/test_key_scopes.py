"""Key scopes name actions, groups of actions, or everything."""

import pytest

from apps.governance.services.decisions import key_covers
from apps.governance.types import Action


@pytest.mark.parametrize(
    ("key_scopes", "covered"),
    [
        (["*"], set(Action)),
        ([], set()),
        (["run.start"], {Action.RUN_START}),
        (["context.*"], {Action.CONTEXT_READ, Action.CONTEXT_WRITE}),
        (["run", "run*", "r*", "context."], set()),
    ],
)
def test_a_key_covers_exactly_these_actions(key_scopes, covered):
    assert {a for a in Action if key_covers(key_scopes=key_scopes, action=a)} == covered
