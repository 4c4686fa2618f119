"""What every process shares: settings, errors, connections, the bus, the worker loop and its logs."""
