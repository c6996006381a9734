"""Jobs of the ingest queue."""

from apps.context.services import ingestion
from workers.app import app


@app.task(name="context.ingest")  # type: ignore[untyped-decorator]
def ingest(job_id: str) -> None:
    ingestion.run_job(job_id=job_id)
