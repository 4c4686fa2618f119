"""Many clients of all roles on a few hot accounts and symbols; each call is a separate transaction.

There must be no deadlock, no broken law, and no errors except refusals and those of sessions that a halt ends
because they hold its gate too long.  The clients' calls and the broker's answers are random.
"""
