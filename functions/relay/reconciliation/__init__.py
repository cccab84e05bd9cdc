"""Compares a provider's list of sent webhooks with the ledger, and asks the provider for the missing ones.

`reconcile` is the verb, `github` the client of GitHub's API, `missing` the rules and records of missing events.
It imports adapters and policy, and no verb.
"""
