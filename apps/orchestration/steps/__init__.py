"""How each decision of the loop is carried out. A step records its result, or parks the run."""
