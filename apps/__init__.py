"""The eight layers and the two edges; README.md beside this file draws the stack."""
