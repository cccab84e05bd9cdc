"""Calls to hosts that the relay doesn't know: only to public addresses, and bounded in time and bytes.

`fetcher` gets keys and certificates, `public_transport` is the transport of httpx that refuses private addresses.
It imports the runtime's deadline, errors and the model.
"""
