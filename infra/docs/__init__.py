"""Pages and pictures that are made of the code: `reference`, `schemes`.  Run each with `python -m`."""
