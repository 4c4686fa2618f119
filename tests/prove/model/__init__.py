"""The laws implemented a second time, in Python with exact decimals, to compare with the database.

`records.py` holds what the tables hold, `state.py` all of it and the sums.  The other files change it: each
function models one of `api`, returns what the database must return or raises `No` with the SQLSTATE that the
database must raise, and changes the model as the call must change the tables.  A function that models one of
the schema `trade` has its name.
"""
