"""The benchmarks: `python -m bench` prints all figures, each beside the floor measured in the same run."""
