"""What all processes share: settings, errors, connections, the bus, the worker loop and logs."""
