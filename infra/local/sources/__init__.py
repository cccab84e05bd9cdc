"""Sources on this machine: `sign` signs a request as a source would, with made-up `secrets` and `keys`.

`request` is what a source sends, `special` has the signers of special schemes, `private_key` the provider's own key.
"""
