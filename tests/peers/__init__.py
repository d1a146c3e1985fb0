"""Peers: the real servers and clients that judge us, each started for a test on loopback and gone after it."""
