"""Publishes an event to QStash, once: from its routes to the messages, and from the answers to the deliveries.

`publisher` is the verb.  `routing` chooses destinations, `messages` composes the messages, `sending` batches them,
`deduplication` decides whether QStash may have one already, and `claim_checks` carries large bodies.
This folder imports adapters and policy modules, and no verb.
"""
