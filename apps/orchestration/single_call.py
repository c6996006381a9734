"""A run that is one tool call: the same journal and the same steps as an agent's, with nobody to
ask what comes next.
"""

from collections.abc import Mapping
from typing import Any

from apps.agents.types import Fail, Finish
from apps.inference.types import ToolCall
from apps.orchestration.programs import CallTool, End, Task
from apps.orchestration.records import Record, dump
from apps.orchestration.types.runs import EventType

_CALL = "call"
CALL_STEP = f"{_CALL}.0"
_LONGEST_ERROR = 2000
_TRUSTED = "trusted"


class SingleCall:
    """A `Program`. `answered` is the data of the journaled answer, once there is one."""

    in_order = True
    offers: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()
    route = ""

    def __init__(self, tool: str, arguments: Mapping[str, Any]) -> None:
        self.tools: tuple[str, ...] = (tool,)
        self.answered: Mapping[str, Any] | None = None
        self._call = ToolCall(id=_CALL, name=tool, arguments=dump(arguments).decode())

    @property
    def tainted(self) -> bool:
        return self.answered is not None and self.answered["trust"] != _TRUSTED

    def apply(self, record: Record, data: Mapping[str, Any]) -> None:
        if record.type is EventType.TOOL_ANSWERED:
            self.answered = data

    def decide(self) -> tuple[Task, ...] | End:
        """Make the call; then the tool's answer is the run's, and its error the run's failure."""
        answered = self.answered
        if answered is None:
            return (CallTool(step=CALL_STEP, call=self._call),)
        text = answered["message"]["content"]
        if not answered["is_error"]:
            evidence = tuple(answered["evidence"])
            return Finish(text=text, citations=evidence, data=answered.get("structured"))
        decided = answered.get("decision") or {}
        code = "forbidden" if decided.get("outcome") == "deny" else "tool_error"
        return Fail(code=code, detail=text[:_LONGEST_ERROR])
