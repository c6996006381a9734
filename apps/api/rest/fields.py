"""Serializer fields for what is Octavo's own: prefixed ids, RFC 3339 times, money as decimal
strings, strict objects.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.api.rest.codec import fits
from octavo.kernel import ids
from octavo.kernel.clock import rfc3339
from octavo.kernel.errors import NotFound


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses names it does not know, so that a misspelt field is an error and never silently
    ignored.
    """

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = sorted(set(map(str, data)) - set(self.fields))
            if unknown:
                known = ", ".join(name for name, f in self.fields.items() if not f.read_only)
                raise serializers.ValidationError(
                    {name: [f"Unknown field. Known fields: {known}."] for name in unknown}
                )
        return super().to_internal_value(data)


def refuse_repeated(names: Sequence[str]) -> None:
    """Raises a validation error at each place in the list that names what was named before."""
    wrong = {
        str(index): [f"{name!r} is listed more than once."]
        for index, name in enumerate(names)
        if name in names[:index]
    }
    if wrong:
        raise serializers.ValidationError(wrong)


class IdField(serializers.CharField):
    """`run_01h455vb4pex5vsknk084sn02q` outside, a UUID inside."""

    def __init__(self, kind: ids.Kind, **options: Any) -> None:
        self.kind = kind
        super().__init__(**options)

    def to_representation(self, value: Any) -> str:
        return ids.encode(self.kind, value)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return ids.decode(self.kind, str(super().to_internal_value(data)))
        except NotFound as unknown:
            raise serializers.ValidationError(unknown.detail) from None


@extend_schema_field(OpenApiTypes.DATETIME)
class TimeField(serializers.DateTimeField):
    """RFC 3339 in UTC."""

    def to_representation(self, value: Any) -> Any:
        return rfc3339(value)


@extend_schema_field({"type": "string", "pattern": r"^-?\d+(\.\d+)?$", "examples": ["0.0061"]})
class UsdField(serializers.DecimalField):
    """US dollars as a decimal string: below a thousand million, up to nine decimals."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=18, decimal_places=9, min_value=Decimal(0), **options)

    def to_representation(self, value: Decimal) -> str:
        return format(value.normalize(), "f")


@extend_schema_field({"type": "object", "additionalProperties": True})
class ObjectField(serializers.Field[Any, Any, Any, Any]):
    """Any JSON object, kept as it is."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Expected an object.")
        return data

    def to_representation(self, value: Any) -> Any:
        return plain(value)


@extend_schema_field({})
class AnyField(serializers.Field[Any, Any, Any, Any]):
    """Any JSON value, kept as it is."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return plain(value)


def plain(value: Any) -> Any:
    """Stored JSON with its times, ids and money in their public text forms, and no integer that
    JSON readers (and ours) would not take: past 64 bits it is a float, past that its digits.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | frozenset | set):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, int) and not fits(value):
        return _approximate(value)
    return str(value) if isinstance(value, UUID) else value


def _approximate(value: int) -> float | str:
    try:
        return float(value)
    except OverflowError:
        return str(value)
