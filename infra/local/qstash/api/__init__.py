"""The HTTP API of the local QStash: `routes` reads a call, asks the broker and words the answer."""
