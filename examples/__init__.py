"""Programs that use Octavo from outside; run them from the root of the repository."""
