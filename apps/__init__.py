"""The eight layers and the two edges. See README.md beside this file for the stack as one picture."""
