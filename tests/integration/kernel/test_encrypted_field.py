"""What an `EncryptedField` stores is sealed to its row, whichever way it gets there."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import connection, models

from octavo.kernel.secrets import EncryptedField, Secret, reveal


class Safe(models.Model):
    """A table of this test alone, outside the registry of Octavo's apps."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.TextField(default="")
    secret = EncryptedField(default="")

    class Meta:
        apps = Apps()
        app_label = "kernel"
        db_table = "safe_of_a_test"


class Numbered(models.Model):
    secret = EncryptedField(default="")

    class Meta:
        apps = Apps()
        app_label = "kernel"
        db_table = "numbered_of_a_test"


@pytest.fixture(autouse=True)
def _table(db: object) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE safe_of_a_test (id uuid, name text, secret text)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE safe_of_a_test")


def stored(row: Safe) -> str:
    return str(Safe.objects.values_list("secret", flat=True).get(pk=row.pk))


def test_a_secret_is_sealed_on_save_and_revealed_on_request() -> None:
    row = Safe.objects.create(secret=Secret("sk-1"))
    assert "sk-1" not in stored(row)
    assert reveal(Safe.objects.get(pk=row.pk), "secret") == "sk-1"
    assert reveal(row, "secret") == "sk-1"


def test_saving_again_keeps_the_sealed_form() -> None:
    row = Safe.objects.create(secret=Secret("sk-1"))
    before = stored(row)
    fresh = Safe.objects.get(pk=row.pk)
    fresh.name = "renamed"
    fresh.save()
    assert stored(row) == before


def test_a_secret_that_was_never_set_is_empty() -> None:
    assert reveal(Safe.objects.create(), "secret") == ""
    assert reveal(Safe.objects.create(secret=Secret("")), "secret") == ""


def test_a_sealed_secret_copied_to_another_row_does_not_open() -> None:
    first, second = Safe.objects.create(secret=Secret("sk-1")), Safe.objects.create()
    Safe.objects.filter(pk=second.pk).update(secret=stored(first))
    with pytest.raises(ValueError, match="does not belong to this row"):
        reveal(Safe.objects.get(pk=second.pk), "secret")


def test_many_rows_at_once_are_sealed_each_for_itself() -> None:
    rows = Safe.objects.bulk_create([Safe(secret=Secret("sk-1")), Safe(secret=Secret("sk-2"))])
    assert [reveal(row, "secret") for row in rows] == ["sk-1", "sk-2"]


@pytest.mark.parametrize("value", ["sk-plain", Secret("sk-1"), "k1:short"])
def test_an_update_past_the_row_is_refused(value: Any) -> None:
    row = Safe.objects.create(secret=Secret("sk-0"))
    with pytest.raises(TypeError, match=r"Safe\.secret takes a Secret"):
        Safe.objects.filter(pk=row.pk).update(secret=value)
    assert reveal(Safe.objects.get(pk=row.pk), "secret") == "sk-0"


def test_a_plain_string_is_refused() -> None:
    with pytest.raises(TypeError, match="takes a Secret"):
        Safe.objects.create(secret="sk-plain")


def test_a_row_without_its_key_cannot_seal() -> None:
    with pytest.raises(TypeError, match="needs its primary key"):
        Numbered.objects.create(secret=Secret("sk-1"))
