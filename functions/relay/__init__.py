"""The relay: proves who sent a webhook, saves it, publishes it to QStash, and records what became of it."""

VERSION = "0.1.0"
