"""One file a capability: v1 and v2 of an operation side by side."""
