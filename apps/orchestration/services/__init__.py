"""What can be done with runs: start, advance, control; and what keeps them alive."""
