"""Jobs of the ingest queue."""

from apps.context.services import ingestion, renewing
from workers.app import app


@app.task(name="context.ingest")  # type: ignore[untyped-decorator]
def ingest(job_id: str) -> None:
    ingestion.run_job(job_id=job_id)


@app.task(name="context.reembed")  # type: ignore[untyped-decorator]
def reembed(space_id: str) -> None:
    renewing.renew_space(space_id=space_id)
