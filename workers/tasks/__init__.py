"""One module a layer; each task is a job's registered name and the service it calls."""
