"""Pages and pictures of docs/ that are made of the code, or of a real run of it.

`reference` and `schemes` write a page each, `recording` the picture of the demo.  Run each with `python -m`.
"""
