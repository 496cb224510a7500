"""What must hold: the tables' contract, and that they add up to the source's own counts."""
