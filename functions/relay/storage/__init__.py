"""The table and the bucket: every key, index and condition of them.

`store` is the face; `items` says how records become items, and is the key table; `feed` lists them, `filters` reads
what a listing is asked for.  It imports the runtime, errors and the model, and no policy.
"""
