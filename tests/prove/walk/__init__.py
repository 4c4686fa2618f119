"""A random walk over `api`: each step makes a call by one station to the database and to the model.

The caller supplies the choices: Hypothesis, which shrinks failures, or a seeded stream, which is fast.  After
each step both must be in the same state and law_audit must be empty.
"""
