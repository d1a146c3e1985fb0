"""Shells around the doors: a socket here, an engine there."""
