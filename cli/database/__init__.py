"""Manage the database itself: find it, start it, migrate it, log in to it, back it up and restore it."""
