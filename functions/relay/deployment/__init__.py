"""What a deploy asks of QStash, before, while and after functions change.

`preflight` looks first; `sync` makes QStash hold what was deployed, by `changes` taken in `steps`; `drift` looks whether
it still does; `custom_resource` tells CloudFormation why a step failed.  Nothing imports it but handlers and wiring.
"""
