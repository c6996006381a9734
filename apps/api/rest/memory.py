"""Memory: blocks that are always in a prompt, decisions, what is in doubt, and tidying up."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rest.base import ResourceView, answered_once, idempotent
from apps.api.rest.fields import ObjectField, StrictSerializer
from apps.api.rest.schema import listed
from apps.api.rest.spaces import WrittenSerializer
from apps.api.rest.versions import ChangeSerializer
from apps.context import selectors
from apps.context.services import merging, remembering, tidying
from apps.context.types import Flag, FlagKind, MemoryBlock, Tidying

_WHY = "Why this is written; kept for good."


class BlocksQuery(StrictSerializer):
    agent = serializers.CharField(
        max_length=63,
        default="",
        allow_blank=True,
        help_text="Also the blocks of this agent alone.",
    )


class BlockSerializer(serializers.Serializer[MemoryBlock]):
    """A named text that is always in the prompt; `agent` is empty for a block of all."""

    space = serializers.CharField()
    key = serializers.CharField()
    name = serializers.CharField()
    agent = serializers.CharField()
    text = serializers.CharField()
    limit = serializers.IntegerField(help_text="Characters that the text may have.")
    about = serializers.CharField(help_text="What belongs into it.")
    revision = serializers.IntegerField()
    trust = serializers.CharField()


class BlockBody(StrictSerializer):
    text = serializers.CharField(allow_blank=True, trim_whitespace=False)
    why = serializers.CharField(max_length=2000, help_text=_WHY)
    agent = serializers.CharField(max_length=63, default="", allow_blank=True)
    limit = serializers.IntegerField(
        min_value=1, max_value=remembering.MOST_OF_BLOCK, allow_null=True, default=None
    )
    about = serializers.CharField(max_length=500, allow_null=True, default=None)
    base_rev = serializers.IntegerField(
        min_value=0, max_value=2**31 - 1, allow_null=True, default=None
    )


class AlternativeSerializer(StrictSerializer):
    option = serializers.CharField(max_length=500)
    reason = serializers.CharField(max_length=2000, default="", allow_blank=True)


class DecidedBody(StrictSerializer):
    decided = serializers.CharField(max_length=500)
    why = serializers.CharField(max_length=2000, help_text=_WHY)
    alternatives = AlternativeSerializer(many=True, default=list)
    evidence = serializers.ListField(child=ObjectField(), max_length=100, default=list)
    outcome = serializers.CharField(max_length=2000, default="", allow_blank=True)


class FlagSerializer(serializers.Serializer[Flag]):
    """One reason to doubt an entry; `other` is what it is doubted for."""

    kind = serializers.ChoiceField([str(kind) for kind in FlagKind])
    key = serializers.CharField()
    revision = serializers.IntegerField()
    detail = serializers.CharField()
    other = ObjectField(allow_null=True)


class TidyingSerializer(serializers.Serializer[Tidying]):
    """The proposal is the branch; null: nothing is said twice."""

    space = serializers.CharField()
    branch = serializers.CharField(allow_null=True)
    changes = ChangeSerializer(many=True)


class ClosingBody(StrictSerializer):
    why = serializers.CharField(max_length=2000, help_text=_WHY)


class BlocksView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="list_memory_blocks",
        summary="List what is always in the prompt of whoever reads a space",
        parameters=[BlocksQuery],
        responses=listed(BlockSerializer),
    )
    def get(self, request: Request, space: str) -> Response:
        agent = self.query(BlocksQuery)["agent"]
        found = selectors.get_core_memory(scope=self.scope, spaces=[space], agent=agent)
        return self.listed(BlockSerializer, found)


class BlockDetailView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="write_memory_block",
        summary="Write a memory block",
        request=BlockBody,
        responses=WrittenSerializer,
        examples=[
            OpenApiExample(
                "A block of all agents",
                {"text": "The fiscal year ends in June.", "why": "Asked for often."},
                request_only=True,
            )
        ],
    )
    def put(self, request: Request, space: str, name: str) -> Response:
        body = self.checked(BlockBody)
        written = remembering.write_block(scope=self.scope, space=space, name=name, **body)
        return self.shaped(WrittenSerializer, written)


class DecidedView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="record_decision",
        summary="Record what was decided, against what, and on which evidence",
        request=DecidedBody,
        responses=WrittenSerializer,
        examples=[
            OpenApiExample(
                "A decision",
                {"decided": "Ship on Monday", "why": "The tests pass."},
                request_only=True,
            )
        ],
    )
    def put(self, request: Request, space: str, name: str) -> Response:
        """Send the same name again to add how it went."""
        body = self.checked(DecidedBody)
        body["alternatives"] = [dict(given) for given in body["alternatives"]]
        written = remembering.record_decision(
            scope=self.scope, space=space, key=f"decisions/{name}", **body
        )
        return self.shaped(WrittenSerializer, written)


class FlagsView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="list_flags",
        summary="List what is doubtful in a space",
        responses=listed(FlagSerializer),
    )
    def get(self, request: Request, space: str) -> Response:
        return self.listed(FlagSerializer, selectors.list_flags(scope=self.scope, space=space))


class TidyView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="propose_tidying",
        summary="Propose a branch in which notes that say the same are one",
        request=None,
        responses=TidyingSerializer,
    )
    @answered_once
    def post(self, request: Request, space: str) -> Response:
        found = tidying.propose_tidying(scope=self.scope, space=space)
        return self.shaped(TidyingSerializer, found)


class CloseView(ResourceView):
    tag = "context"

    @extend_schema(
        operation_id="close_branch",
        summary="Refuse a branch: nothing of it is merged",
        request=ClosingBody,
        responses={204: None},
        examples=[OpenApiExample("Refused", {"why": "Two notes differ."}, request_only=True)],
    )
    @idempotent
    def post(self, request: Request, space: str) -> Response:
        why = self.checked(ClosingBody)["why"]
        merging.close_branch(scope=self.scope, branch=space, why=why)
        return Response(status=204)
