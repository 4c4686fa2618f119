"""The command `aegis`: one file per group of commands, each a thin layer over calls to the database."""
