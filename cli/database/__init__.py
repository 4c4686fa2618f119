"""Everything about the database as a thing: find it, start it, migrate it, log in to it."""
