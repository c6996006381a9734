"""What every layer stands on. The kernel imports no app.

Ids, scope, errors, outbox, idempotency, I/O loop, egress, secrets, audit port.
"""
