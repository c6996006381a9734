"""Public ids say what they name, sort by time, and never decode to something else."""

from uuid import UUID

import pytest

from octavo.kernel import ids
from octavo.kernel.errors import NotFound

# From the TypeID specification's valid.yml.
KNOWN = [
    ("00000000000000000000000000", "00000000-0000-0000-0000-000000000000"),
    ("00000000000000000000000001", "00000000-0000-0000-0000-000000000001"),
    ("7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    ("0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"),
    ("01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"),
]


@pytest.mark.parametrize(("digits", "uuid"), KNOWN)
def test_ids_agree_with_the_specification(digits: str, uuid: str) -> None:
    assert ids.encode(ids.Kind.RUN, UUID(uuid)) == f"run_{digits}"
    assert ids.decode(ids.Kind.RUN, f"run_{digits}") == UUID(uuid)


def test_later_ids_sort_after_earlier_ones_in_both_forms() -> None:
    made = [ids.new() for _ in range(5000)]
    assert made == sorted(set(made))
    shown = [ids.encode(ids.Kind.RUN, value) for value in made]
    assert shown == sorted(shown)


def test_a_new_id_is_a_version_7_uuid() -> None:
    assert ids.new().version == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "run_",
        "run",
        "01h455vb4pex5vsknk084sn02q",
        "agt_01h455vb4pex5vsknk084sn02q",
        "run_01H455VB4PEX5VSKNK084SN02Q",
        "run_8zzzzzzzzzzzzzzzzzzzzzzzzz",
        "run_01h455vb4pex5vsknk084sn02",
        "run_01h455vb4pex5vsknk084sn02qq",
        "run_01h455vb4pex5vsknk084sn02u",
        "run_01h455vb4pex5vsknk084sn0٢q",
        "run__01h455vb4pex5vsknk084sn02q",
        " run_01h455vb4pex5vsknk084sn02q",
    ],
)
def test_an_id_that_cannot_exist_names_nothing(text: str) -> None:
    with pytest.raises(NotFound, match="looks like run_01"):
        ids.decode(ids.Kind.RUN, text)


def test_every_kind_has_a_prefix_of_its_own() -> None:
    prefixes = [kind.value for kind in ids.Kind]
    assert len(prefixes) == len(set(prefixes))
    assert all("_" not in prefix for prefix in prefixes)


def test_the_trace_id_of_a_run_is_its_uuid_in_hexadecimal_digits() -> None:
    assert ids.trace_id(UUID(KNOWN[4][1])) == "01890a5dac96774bbcceb302099a8057"
