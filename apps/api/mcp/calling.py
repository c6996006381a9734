"""`tools/call`: one durable run a call, whatever becomes of the client or this process meanwhile.

A client that leaves or cancels ends the run; a process that stops hands it to a worker.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import mcp_types as t
from django.conf import settings

from apps.api.mcp import answers, asking, waiting
from apps.api.mcp.callers import Context, caller_of
from apps.api.mcp.progress import Progress
from apps.orchestration.services import control, direct, starting
from apps.orchestration.types.runs import RunView, ToolCallView
from octavo.kernel import ids, io
from octavo.kernel.errors import OctavoError
from octavo.kernel.scope import Scope

_LONGEST_SECONDS = 3600.0
log = logging.getLogger(__name__)

Answer = t.CallToolResult | t.InputRequiredResult


class Exchange:
    """One request for a run, from its start or its retry to what the client is told."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.caller = caller_of(context)
        self.scope: Scope = self.caller.scope
        self.progress = Progress(context)
        self._can_ask = asking.can_ask(context)
        self._run_id: UUID | None = None
        self._call: ToolCallView | None = None
        self._has_left = False

    async def call_tool(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        """Raises what `direct.open_call` raises, before there is a run."""

        async def make() -> RunView:
            async with self.progress.of_tool() as report:
                self._call = await io.work(self._make, tool, arguments, report)
            return self._call.run

        return await self._carry_through(make)

    async def ask_agent(self, agent: str, arguments: Mapping[str, Any]) -> Answer:
        async def start() -> RunView:
            return await io.db(self.start_agent, agent, arguments)

        return await self._carry_through(start)

    async def retry(
        self, state: str, responses: Mapping[str, Any] | None, *, is_own: bool
    ) -> Answer:
        """The same request again, with an answer to what the round before it asked. Leaving ends
        the run only where the request began it (`is_own`).
        """
        asked = asking.read_state(state)

        async def go_on() -> RunView:
            self._run_id = asked.run_id if is_own else None
            return await io.work(self._go_on, asked, responses)

        return await self._carry_through(go_on)

    async def wait_for(self, run_id: UUID, *, seconds: float) -> Answer:
        """How a run of anybody's stands after at most `seconds`; leaving does not end it."""
        run = await self._followed(run_id, lambda _: seconds)
        return await self._told(run, is_error=False)

    def start_agent(self, agent: str, arguments: Mapping[str, Any]) -> RunView:
        """Raises `NotFound`, `InvalidInput` and `Forbidden`. Synchronous."""
        run = starting.start_run(
            scope=self.scope,
            agent=agent,
            input=arguments["input"],
            session=arguments.get("session") or self.caller.session,
            metadata={"via": "mcp"},
            traceparent=self._traceparent(),
        )
        self._begun(run.id)
        return run

    async def _carry_through(self, begin: Callable[[], Any]) -> Answer:
        try:
            run = await begin()
            if not self._is_settled(run):
                run = await self._followed(run.id, self._patience)
            return await self._told(run, is_error=bool(run.tool))
        except asyncio.CancelledError:
            self._has_left = not waiting.is_stopping()
            if self._has_left and self._run_id is not None:
                io.submit(_cancel, self.scope, self._run_id)
            raise

    def _begun(self, run_id: UUID) -> None:
        """In a worker thread, which the client may have left before there was a run to cancel."""
        self._run_id = run_id
        if self._has_left:
            _cancel(self.scope, run_id)

    def _make(self, tool: str, arguments: Mapping[str, Any], report: Any) -> ToolCallView:
        opened = direct.open_call(
            scope=self.scope,
            tool=tool,
            arguments=arguments,
            session=self.caller.session,
            metadata={"via": "mcp"},
            traceparent=self._traceparent(),
            autonomous=True,
        )
        self._begun(opened.run.id)
        return direct.make_call(scope=self.scope, opened=opened, on_progress=report)

    def _go_on(self, asked: asking.Asked, responses: Mapping[str, Any] | None) -> RunView:
        asking.take_answer(scope=self.scope, asked=asked, responses=responses)
        run = waiting.read_run(self.scope, asked.run_id)
        if not run.tool:
            approval = ids.encode(ids.Kind.APPROVAL, asked.approval_id)
            control.redeliver_approval(run_id=run.id, approval=approval)
            return waiting.read_run(self.scope, asked.run_id)
        return direct.resume_call(scope=self.scope, run_id=run.id).run

    async def _followed(self, run_id: UUID, patience: Callable[[RunView], float]) -> RunView:
        return await waiting.follow(
            waiting.Wait(
                scope=self.scope,
                run_id=run_id,
                until=self._is_settled,
                patience=patience,
                progress=self.progress,
            )
        )

    def _is_settled(self, run: RunView) -> bool:
        """Nothing more to wait for: it ended, or the client can be asked."""
        is_asking = run.waiting_on is not None and run.waiting_on.kind == "approval"
        return run.status.is_final or (is_asking and self._can_ask)

    def _patience(self, run: RunView) -> float:
        """A client that hears of progress waits as long as there is some; nobody waits for a
        person for long.
        """
        waits_for_person = run.waiting_on is not None and run.waiting_on.kind != "timer"
        if waits_for_person or not self.progress.is_wanted:
            return float(settings.MCP_WAIT_SECONDS)
        return _LONGEST_SECONDS

    async def _told(self, run: RunView, *, is_error: bool) -> Answer:
        """`is_error` says of a call not made yet that no model may take it for done."""
        if self._call is not None and self._call.answer is not None:
            return answers.of_call(self._call)
        if run.status.is_final:
            return await io.db(self._ended, run)
        question = await io.db(asking.find_question, scope=self.scope, run=run)
        if question is not None and self._can_ask:
            return asking.ask(question)
        approval = question.approval if question else None
        return answers.pending(run, approval, is_error=is_error)

    def _ended(self, run: RunView) -> t.CallToolResult:
        if not run.tool:
            return answers.of_agent(run)
        return answers.of_call(direct.get_call(scope=self.scope, run_id=run.id))

    def _traceparent(self) -> str:
        given = (self.context.meta or {}).get("traceparent")
        if isinstance(given, str):
            return given
        assert self.context.request is not None  # noqa: S101  every request comes over HTTP
        return self.context.request.headers.get("traceparent", "")


def _cancel(scope: Scope, run_id: UUID) -> None:
    """The client left. Who may start a run but not control it leaves it to end by itself."""
    try:
        control.cancel_run(scope=scope, run_id=run_id)
    except OctavoError as error:
        log.info("The client of %s left: %s", ids.encode(ids.Kind.RUN, run_id), error)
