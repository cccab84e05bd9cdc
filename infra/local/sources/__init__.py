"""What sources do, on this machine: `sign` signs a request as a source would, with made-up `secrets` and `keys`."""
