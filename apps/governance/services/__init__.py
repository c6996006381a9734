"""What governance does for the layers above: decide, keep budgets, hold for approval, record."""
