"""How an event goes to QStash, once: from its routes to the messages, and from the answers to what is known of each.

`publisher` is the verb; `routing` chooses destinations, `messages` says every word QStash is told, `sending` batches
them, `deduplication` decides whether one may be there already, `claim_checks` carries what is too large.
It imports adapters and policy's own modules, and no verb.
"""
