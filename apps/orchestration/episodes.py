"""What an agent's run leaves behind for later ones, told from its journal without any model."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.agents import selectors as agents
from apps.orchestration import activation
from apps.orchestration.records import Record, RunFacts
from apps.orchestration.types.runs import EventType, RunView
from octavo.kernel import ids

_LONGEST_QUESTION = 1500
_LONGEST_ANSWER = 3000
_LONGEST_TITLE = 120
_MOST_TOOLS = 20
_MOST_SOURCES = 50
_OF_SOURCE = ("space", "key", "revision")


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """An entry that tells of one run; `sources` are what its answer rests on."""

    space: str
    text: str
    metadata: Mapping[str, Any]
    sources: Sequence[Mapping[str, Any]]


def remembered_in(run: RunFacts) -> str:
    """The space in which the run is remembered, "" if in none; a rehearsal never is."""
    if run.agent_version_id is None or run.is_dry_run:
        return ""
    return agents.get_definition(version_id=run.agent_version_id).remember


def tell(facts: RunFacts, run: RunView, events: Sequence[Record]) -> Episode:
    """What was asked, what was done, and what came of it."""
    asked = activation.as_text(facts.input).strip()
    title = _cut(" ".join(asked.split()), _LONGEST_TITLE)
    output = run.output or {}
    lines = [f"# {title}"]
    if title != asked:
        lines.append(f"Asked: {_cut(asked, _LONGEST_QUESTION)}")
    called = Counter(
        str(event.data["tool"]) for event in events if event.type is EventType.TOOL_ANSWERED
    )
    if called:
        often = called.most_common(_MOST_TOOLS)
        named = (f"{tool} ({times} times)" if times > 1 else tool for tool, times in often)
        lines.append(f"Called: {', '.join(named)}")
    if run.error is not None:
        said = f"Failed ({run.error.get('code', '')}): {run.error.get('detail', '')}"
    else:
        said = f"Answered: {output.get('text', '')}"
    lines.append(_cut(said.strip(), _LONGEST_ANSWER))
    return Episode(
        space=remembered_in(facts),
        text="\n\n".join(lines) + "\n",
        metadata={
            "agent": facts.agent_name,
            "run": ids.encode(ids.Kind.RUN, facts.id),
            "status": run.status.value,
        },
        sources=_sources(output.get("citations") or ()),
    )


def _sources(citations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each revision once, in the order of the answer."""
    found: list[Mapping[str, Any]] = []
    for citation in citations:
        source = {name: citation[name] for name in _OF_SOURCE if name in citation}
        if source and source not in found:
            found.append(source)
    return found[:_MOST_SOURCES]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
