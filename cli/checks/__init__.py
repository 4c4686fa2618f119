"""The checks of `aegis doctor`: a file for each subject, and the order in which they run."""
