"""Mail that arrives: receive, resolve, then process."""
