"""What a deploy asks of QStash, before, while and after functions change.

`preflight` looks first; `sync` makes QStash hold what was deployed, by `changes` taken in `steps`; `custom_resource`
tells CloudFormation why a step failed.  It imports no other verb.
"""
