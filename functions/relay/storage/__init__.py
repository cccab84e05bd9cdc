"""The table and the bucket: every key, index and condition of them.

`store` is the face and holds the parts, a module each; `items` is the key table, and says how records become items;
`filters` is the table of a listing's filters; `leases` names the leases.  No other folder writes a key, a partition or
a sort key.  It imports the runtime, errors and the model, and no policy.
"""
