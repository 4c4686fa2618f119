"""What every command shares: its run, its options, and how it prints."""
