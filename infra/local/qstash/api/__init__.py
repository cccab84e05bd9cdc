"""The HTTP API of the local QStash: a module for each noun of QStash's API reference, with its routes.

`routes` lists them all, `call` is one request and its answer, `selection` reads filters and cursors, `admin` is the API
for tests.  A verb reads a call, asks the broker, and returns the answer.
"""
