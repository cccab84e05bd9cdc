"""Holds what a provider says it sent against the ledger, and asks for what is missing.

`reconcile` is the verb, `github` GitHub's API, `missing` what was found and asked for.
"""
