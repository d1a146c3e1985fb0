"""Durable state: the database port with its two adapters, work tables, blobs."""
