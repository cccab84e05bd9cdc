"""Who sent a request: 101 schemes, each a row of data, and a few that need code.

`verify` is the face: a request and a row go in, what the webhook says of itself comes out, or `SignatureError`.
`scheme` reads rows, `signatures` and `templates` compute what must be there, `jwt`, `custom`, `certificates` and
`public_keys` have what no row can say, `handshakes` answers a provider's first call.  It imports the internet folder,
errors and the model.
"""
