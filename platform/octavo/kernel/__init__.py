"""What every layer stands on: ids, scope, errors, outbox, idempotency, I/O loop, egress, secrets, audit port.

The kernel imports no app.
"""
