"""Structure: the rules of the house that a program can check."""
