"""The command `aegis`: one file for each group of commands here, and what they use in the folders."""
