"""The `relay` command: one module per noun, over `deployed` (the relay in AWS), `secret` and `aws`."""
