"""What may be done with context: one module per group of verbs; each verb owns its check, write and
audit.
"""
