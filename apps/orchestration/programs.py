"""What a run does is a program: pure decisions over its journal, whatever kind of run it is.

`apply` takes results in, `decide` says what is to be done now; neither reads a clock, a database or
a network, so the same journal always gives the same decisions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from apps.agents.types import CallModel, Fail, Finish, Retrieve
from apps.inference.types import ToolCall
from apps.orchestration.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTool:
    """Make one tool call; its answer is journaled under the key `step`."""

    step: str
    call: ToolCall


Task = Retrieve | CallModel | CallTool
"""Something that takes time, and whose result is journaled under its `step`."""

End = Finish | Fail


def output_of(finish: Finish) -> dict[str, Any]:
    """The run's output, as it is journaled."""
    output: dict[str, Any] = {"text": finish.text, "citations": list(finish.citations)}
    if finish.data is not None:
        output["data"] = finish.data
    if finish.answered_by is not None:
        output["answered_by"] = dict(finish.answered_by)
    return output


class Program(Protocol):
    """The folded journal of one run over the definition that it is pinned to.

    `tools` are patterns of what it may call, `offers` of what its model is shown, `spaces` those
    that it recalls from, `route` the one of its model calls. `tainted`: it has read what is not
    trusted. `in_order`: calls that change something are made one after the other, in the order in
    which they were asked for.
    """

    tools: tuple[str, ...]
    offers: tuple[str, ...]
    spaces: tuple[str, ...]
    route: str
    in_order: bool

    @property
    def tainted(self) -> bool: ...

    def apply(self, record: Record, data: Mapping[str, Any]) -> None:
        """Take in the start, a step's result (`STEP_RESULTS`), a model call that failed, or the end
        of the run that was handed the work.
        """
        ...

    def decide(self) -> tuple[Task, ...] | End:
        """All that can be done now. Asked again after each result, it still names what is under
        way; the engine knows steps by their key.
        """
        ...
