"""An external run: started with the first report, and ended with the last.

A report that got no answer is sent again as it was, because Octavo writes the same report once.
"""

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

URL = os.environ.get("OCTAVO_URL", "http://127.0.0.1:8000")
KEY = os.environ["OCTAVO_KEY"]
_TRIES = 5


class Cancelled(Exception):
    """Somebody cancelled the run in Octavo."""


class OctavoRun:
    """One run. `id` is its public id; `step` gives each thing that happens a key of its own."""

    def __init__(self, *, agent: str, question: str) -> None:
        started = _post("/api/v1/runs", {"agent": agent, "input": question, "external": True})
        self.id: str = started["id"]
        self._steps = 0

    def report(self, kind: str, data: dict[str, Any], *, step: str = "") -> None:
        """Raises `Cancelled` when the loop should stop."""
        event = {"step_key": step or self._key(kind), "type": kind, "data": data}
        answer = _post(f"/api/v1/runs/{self.id}/journal", {"events": [event]})
        if answer["cancel_requested"] and answer["run"]["status"] == "running":
            _post(f"/api/v1/runs/{self.id}/journal", {"events": [{"type": "run_cancelled"}]})
            raise Cancelled(self.id)

    def finish(self, text: str) -> None:
        self.report("run_succeeded", {"output": text}, step="end")

    def fail(self, error: BaseException) -> None:
        self.report("run_failed", {"code": type(error).__name__, "detail": str(error)}, step="end")

    def _key(self, kind: str) -> str:
        self._steps += 1
        return f"{kind.partition('_')[0]}.{self._steps}"


def _post(path: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    for attempt in range(_TRIES):
        request = urllib.request.Request(URL + path, json.dumps(body).encode(), headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                found: dict[str, Any] = json.load(response)
                return found
        except urllib.error.HTTPError as refusal:
            if refusal.code < 500:
                raise SystemExit(json.load(refusal)["detail"]) from None
        except OSError:
            if attempt == _TRIES - 1:
                raise
        time.sleep(2**attempt)
    raise SystemExit(f"Octavo at {URL} answers with errors. Look into its log, then try again.")
