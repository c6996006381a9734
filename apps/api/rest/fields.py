"""Serializer fields for what is Octavo's own: prefixed ids, RFC 3339 times, money as decimal
strings, strict objects.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

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
    """US dollars as a decimal string, up to nine decimals."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=20, decimal_places=9, min_value=Decimal(0), **options)

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
    """Stored JSON with its times, ids and money in their public text forms."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | frozenset | set):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return str(value) if isinstance(value, UUID) else value
