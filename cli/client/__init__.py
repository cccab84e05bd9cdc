"""How the command reaches what was deployed: the relay's API, and the secrets and stacks of an AWS account.

`api` asks the relay over HTTP, signed with IAM.  `aws` makes clients and reads the stack.  `secrets`, `qstash_token`
and `destination_secrets` know the names and forms of secrets; `typed_secret`
reads one from a person; `kept` writes one secret safely beside other writers.
Nothing here knows a command of `cli.commands`.
"""
