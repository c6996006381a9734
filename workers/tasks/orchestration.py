"""Jobs of the runs queue. A lost or repeated message is harmless: the lease decides who works."""

from apps.orchestration.services import bulk, control
from workers import running
from workers.app import app


@app.task(name="orchestration.advance")  # type: ignore[untyped-decorator]
def advance(run_id: str) -> None:
    running.threads.wait(run_id)


@app.task(name="orchestration.cancel_children")  # type: ignore[untyped-decorator]
def cancel_children(run_id: str) -> None:
    control.on_run_ended(run_id=run_id)


@app.task(name="orchestration.bulk")  # type: ignore[untyped-decorator]
def run_bulk(job_id: str) -> None:
    bulk.run_batch(job_id=job_id)


@app.task(name="orchestration.approval_decided")  # type: ignore[untyped-decorator]
def approval_decided(approval_id: str, run_id: str) -> None:
    control.on_approval_decided(approval_id=approval_id, run_id=run_id)
