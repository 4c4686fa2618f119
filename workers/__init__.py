"""The worker processes, which connect the database with brokers and price feeds.

Nothing here decides about money: a worker asks the schema `api` what to do, does it, and
reports what happened.  `python -m workers NAME` runs one worker.
"""
