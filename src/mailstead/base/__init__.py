"""What every part speaks: addresses, errors, the clock, ids."""
