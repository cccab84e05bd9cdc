"""The chaos run: the deployed relay under a seeded mix of faults, and a ledger that is counted from outside."""
