"""Each error has one status and one code, and carries what its reader needs."""

import inspect

from octavo.kernel import errors


def classes() -> list[type[errors.OctavoError]]:
    found = [member for _, member in inspect.getmembers(errors, inspect.isclass)]
    return [member for member in found if issubclass(member, errors.OctavoError)]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in classes()]
    assert len(codes) == len(set(codes))


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn = inspect.getdoc(errors) or ""
    for error in classes():
        line = next(line for line in drawn.splitlines() if error.__name__ in line.split())
        own_status = "status" in vars(error) and error is not errors.OctavoError
        assert not own_status or str(error.status) in line


def test_an_error_shows_its_detail_and_keeps_what_belongs_to_it() -> None:
    refused = errors.Forbidden("No.", policies=["viewers-read"])
    assert str(refused) == "No."
    assert refused.extra == {"policies": ["viewers-read"]}
    invalid = errors.InvalidInput("Wrong.", errors=[{"path": "/name", "detail": "Too long."}])
    assert invalid.errors == ({"path": "/name", "detail": "Too long."},)
    assert errors.BudgetExceeded("Spent.", retry_after=60).retry_after == 60
    assert errors.Conflict("Moved on.", head=3).extra == {"head": 3}
