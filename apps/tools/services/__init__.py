"""What is done with tools: register them, check arguments, call them, keep the effect ledger."""
