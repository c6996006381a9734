"""A process to be killed at work: `victim.py ingest <job>`, `victim.py rollback <seq>`."""

import sys


def main(what: str, given: str) -> None:
    import django

    django.setup()
    from apps.accounts import selectors as accounts
    from apps.context.services import ingestion, versions

    if what == "ingest":
        ingestion.run_job(job_id=given)
    else:
        scope = accounts.system_scope(project_id=accounts.default_project().id)
        versions.roll_back(scope=scope, space="notes", to=int(given), why="killed")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
