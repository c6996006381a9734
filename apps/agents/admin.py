"""What staff see of agents: names and versions, each as it was saved."""

from django.contrib import admin

from apps.agents.models import Agent, AgentVersion
from octavo.kernel.staff import ReadOnlyTable


@admin.register(Agent)
class AgentTable(ReadOnlyTable[Agent]):
    list_display = ("name", "head", "created_at")
    search_fields = ("name",)


@admin.register(AgentVersion)
class AgentVersionTable(ReadOnlyTable[AgentVersion]):
    list_display = ("agent", "number", "saved_by", "created_at")
