"""Every page of the console with something on it, for those that look at all and measure all."""

from octavo.kernel.scope import Scope
from tests.e2e import stage

QUESTION = "How do I add my own files to a space?"


def prepare_tour(scope: Scope) -> dict[str, str]:
    """Make what the pages show; the path of each page by a name for its picture."""
    refund = stage.start_refund(scope)
    answer = stage.ask_guide(scope, QUESTION)
    schedule = stage.make_triggers(scope)
    briefing = stage.start_briefing(scope)
    return {
        "home": "/",
        "runs": "/runs",
        "run_waiting": f"/runs/{refund}",
        "run_step": f"/runs/{refund}?step=s3",
        "run_answer": f"/runs/{answer}",
        "fork": f"/runs/{refund}/fork?step=tools.1.0",
        "compare": f"/runs/compare?a={refund}&b={answer}",
        "run_workflow": f"/runs/{briefing}",
        "ask": "/ask",
        "queue": "/queue",
        "triggers": "/triggers",
        "trigger": f"/triggers/{schedule}",
        "approvals": "/approvals",
        "costs": "/costs",
        "agents": "/agents",
        "agent": "/agents/refund-agent",
        "agent_diff": "/agents/refund-agent?compare=1",
        "agent_form": "/agents/refund-agent/edit",
        "workflows": "/workflows",
        "workflow": "/workflows/briefing",
        "workflow_diff": "/workflows/briefing?compare=1",
        "workflow_form": "/workflows/briefing/edit",
        "spaces": "/context",
        "space": "/context/handbook",
        "search": "/context/handbook?q=backup",
        "legs": "/context/handbook?q=backup&mode=side+by+side&where={}",
        "flags": "/context/shop-rules/flags",
        "entry_form": "/context/handbook/edit/docs/files.md",
        "history": "/context/shop-rules/history?to=0",
        "branch": "/context/shop-rules-draft/merge",
        "entry": "/context/handbook/entry/docs/files.md",
        "tools": "/tools",
        "tool": "/tools/refund_issue",
        "models": "/models",
        "connect": "/connect",
        "keys": "/keys",
        "members": "/members",
    }
