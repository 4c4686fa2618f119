"""The command `aegis`: one file per group of commands, each a thin call of the database."""
