"""Mail that leaves: submit, admit, compose, then route, pace, sign, attempt, settle."""
