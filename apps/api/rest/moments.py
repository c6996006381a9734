"""A moment of a space: its sequence number, or a time in RFC 3339."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.context.types import Moment

_MAX = 2**62


@extend_schema_field(
    {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": _MAX},
            {"type": "string", "format": "date-time"},
        ]
    }
)
class MomentField(serializers.Field[Any, Any, Any, Any]):
    """`42` or `2026-01-31T12:00:00Z`."""

    def __init__(self, **options: Any) -> None:
        options.setdefault(
            "help_text", "As it stood then: a sequence number of the space or a time."
        )
        super().__init__(**options)
        self._time = serializers.DateTimeField()

    def to_internal_value(self, data: Any) -> Moment:
        if isinstance(data, str) and data.isascii() and data.isdigit() and len(data) < 20:
            data = int(data)
        if isinstance(data, int) and not isinstance(data, bool):
            if not 0 <= data <= _MAX:
                raise serializers.ValidationError(f"A sequence number is 0 to {_MAX}.")
            return data
        found: Moment = self._time.run_validation(data)
        return found

    def to_representation(self, value: Any) -> Any:
        return value
