"""The processes that carry work between the database and the world outside.

Nothing here decides about money: a worker asks the schema `api` what to do, does it, and
reports what happened.  `python -m workers NAME` runs one of them.
"""
