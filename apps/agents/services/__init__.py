"""What can be done with agents: save definitions, decide the next move, state what they grant."""
