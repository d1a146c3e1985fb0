"""Mailboxes of people: folders, messages, changes."""
