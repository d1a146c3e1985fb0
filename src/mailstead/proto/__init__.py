"""Formats and protocol engines: bytes in, values out; no socket, no clock, no file."""
