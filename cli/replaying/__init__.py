"""What `aegis replay` does with a recording: check it, plan, run and report."""
