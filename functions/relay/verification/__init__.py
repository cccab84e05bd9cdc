"""Who sent a request: each scheme is a row of data, and a special one also an entry in `custom`.

`verify` is the face: it takes a request and a row and returns the webhook's own info, or raises `SignatureError`.
`scheme` reads rows in their `language`, `presented` finds the signatures in a request, `templates` makes what must be
signed, `signatures` compares, `jwt` and `handshakes` do what their names say.  `custom` is the registry of special
schemes, with `certificates`, `items`, `plaid` and `public_keys` under it.  The folder imports internet, errors and the
model.
"""
