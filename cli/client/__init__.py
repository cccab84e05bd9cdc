"""Clients of the deployed relay: its API, and the secrets and stacks of an AWS account.

`api` finds the stack and calls the relay over HTTP, signed with IAM.  `aws` makes AWS clients.  `secrets`,
`qstash_token` and `destination_secrets` know the names and forms of secrets.  `typed_secret` reads a secret from a
person.  `secret_object` writes a secret safely beside other writers.  Nothing here knows a command of `cli.commands`.
"""
