"""Hooks: addresses that start a run for every signed delivery. Token and secret are shown once.

The address of a delivery is its credential, together with the signature over its raw body.
"""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest import triggers
from apps.api.rest.base import REPLAYED_HEADER, ShownOnce, idempotent
from apps.api.rest.fields import IdField, StrictSerializer
from apps.api.rest.schema import listed
from apps.orchestration.services import hooks
from apps.orchestration.types.runs import RunStatus
from apps.orchestration.types.triggers import Delivery, NewHook, TriggerKind
from octavo.kernel.ids import Kind

_SECRET = "What deliveries are signed with: 8 characters or more. Made up when not given."  # noqa: S105
_POINTER = (
    "JSON pointer to the part of the body that becomes the input; the whole body without one."
)


class HookChanges(triggers.TargetChanges):
    input_path = serializers.CharField(
        max_length=500, required=False, allow_blank=True, help_text=_POINTER
    )
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)


class HookBody(HookChanges):
    secret = serializers.CharField(
        max_length=500, required=False, trim_whitespace=False, help_text=_SECRET
    )


class RotationBody(StrictSerializer):
    secret = serializers.CharField(
        max_length=500, required=False, trim_whitespace=False, help_text=_SECRET
    )
    grace_seconds = serializers.IntegerField(
        min_value=0,
        max_value=hooks.MOST_GRACE_SECONDS,
        default=0,
        help_text="How long the secret before is accepted beside the new one.",
    )


class HookSerializer(triggers.TriggerSerializer):
    """A hook without its token and its secret."""

    input_path = serializers.CharField(source="settings.input_path")


class NewHookSerializer(HookSerializer):
    """A new hook. `token`, `url` and `secret` are shown this once (null when repeated)."""

    token = serializers.CharField(allow_null=True)
    url = serializers.CharField(allow_null=True)
    secret = serializers.CharField(allow_null=True)


class RotatedHookSerializer(HookSerializer):
    """A hook with its new `secret`, shown this once (null when repeated)."""

    secret = serializers.CharField(allow_null=True)


class DeliverySerializer(serializers.Serializer[Delivery]):
    """The run that a delivery started. Its answer is for whoever may read runs."""

    id = IdField(Kind.RUN, source="run_id")
    status = serializers.ChoiceField([str(status) for status in RunStatus])
    delivery = IdField(Kind.FIRING, source="firing_id")


class _OfHooks(triggers.TriggerResource):
    kind = TriggerKind.HOOK
    shape = HookSerializer


def _new(made: NewHook) -> dict[str, Any]:
    url = f"{str(settings.PUBLIC_URL).rstrip('/')}/api/v1/hooks/{made.token}"
    return {
        **HookSerializer(made.hook).data,
        "token": made.token,
        "url": url,
        "secret": made.secret,
    }


@extend_schema_view(
    get=extend_schema(
        operation_id="list_hooks",
        summary="List hooks, newest first",
        parameters=[triggers.TriggersQuery],
        responses=listed(HookSerializer),
    )
)
class HooksView(_OfHooks, triggers.TriggerListView):
    @extend_schema(
        operation_id="create_hook",
        summary="Start runs by signed deliveries",
        request=HookBody,
        responses={201: NewHookSerializer},
        examples=[
            OpenApiExample(
                "Issues of a repository",
                {
                    "name": "new issues",
                    "agent": "guide",
                    "secret": "a-long-random-secret",
                    "input_path": "/issue/title",
                },
                request_only=True,
            )
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        made = hooks.create_hook(scope=self.scope, **self.checked(HookBody))
        return ShownOnce(_new(made), status=201, fields=["token", "url", "secret"])


@extend_schema_view(
    get=extend_schema(operation_id="get_hook", summary="Read a hook", responses=HookSerializer),
    delete=extend_schema(
        operation_id="delete_hook",
        summary="Delete a hook and the record of its deliveries",
        responses={204: None},
    ),
)
class HookDetailView(_OfHooks, triggers.TriggerDetailView):
    """A hook by its id; a delivery by the hook's token, which needs no key."""

    def perform_authentication(self, request: Request) -> None:
        if request.method != "POST":
            super().perform_authentication(request)

    def check_permissions(self, request: Request) -> None:
        if request.method != "POST":
            super().check_permissions(request)

    @extend_schema(
        operation_id="change_hook",
        summary="Change a hook",
        request=HookChanges,
        responses=HookSerializer,
        examples=[OpenApiExample("Another agent", {"agent": "triage"}, request_only=True)],
    )
    def patch(self, request: Request, trigger_id: str) -> Response:
        changed = hooks.change_hook(
            scope=self.scope,
            hook_id=self.decoded(trigger_id),
            changes=self.checked(HookChanges),
        )
        return self.shaped(HookSerializer, changed)

    @extend_schema(
        operation_id="deliver_to_hook",
        summary="Start a run by a signed delivery",
        auth=[],
        request={"application/json": {"type": "object", "additionalProperties": True}},
        responses={201: DeliverySerializer},
        examples=[
            OpenApiExample("An issue", {"issue": {"title": "The door is stuck"}}, request_only=True)
        ],
    )
    def post(self, request: Request, trigger_id: str) -> Response:
        """The address holds the token instead of the id. Sign the raw body with the hook's secret:
        `X-Hub-Signature-256`, or `webhook-id`, `webhook-timestamp` and `webhook-signature`.
        """
        headers = {name.lower(): value for name, value in request.headers.items()}
        delivery = hooks.receive(token=trigger_id, body=request._request.body, headers=headers)
        response = self.shaped(DeliverySerializer, delivery, status=201)
        if delivery.is_replay:
            response[REPLAYED_HEADER] = "true"
        return response


class HookRotationView(_OfHooks):
    @extend_schema(
        operation_id="rotate_hook_secret",
        summary="Sign deliveries with another secret",
        request=RotationBody,
        responses=RotatedHookSerializer,
        examples=[OpenApiExample("Within a day", {"grace_seconds": 86400}, request_only=True)],
    )
    @idempotent
    def post(self, request: Request, trigger_id: str) -> Response:
        made = hooks.rotate_secret(
            scope=self.scope,
            hook_id=self.decoded(trigger_id),
            **self.checked(RotationBody),
        )
        data = {**HookSerializer(made.hook).data, "secret": made.secret}
        return ShownOnce(data, status=200, fields=["secret"])


@extend_schema_view(
    post=extend_schema(
        operation_id="pause_hook",
        summary="Refuse deliveries until it is resumed",
        request=None,
        responses=HookSerializer,
    )
)
class HookPauseView(_OfHooks, triggers.TriggerPauseView):
    pass


@extend_schema_view(
    post=extend_schema(
        operation_id="resume_hook",
        summary="Take deliveries again",
        request=None,
        responses=HookSerializer,
    )
)
class HookResumeView(_OfHooks, triggers.TriggerResumeView):
    pass


@extend_schema_view(
    get=extend_schema(
        operation_id="list_hook_deliveries",
        summary="List deliveries and what came of each, newest first",
        parameters=[triggers.FiringsQuery],
        responses=listed(triggers.FiringSerializer),
    )
)
class HookDeliveriesView(_OfHooks, triggers.TriggerFiringsView):
    pass
