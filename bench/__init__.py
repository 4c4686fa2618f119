"""The benchmarks: `python -m bench` prints all figures, each with the floor measured in the same run."""
