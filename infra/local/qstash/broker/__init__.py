"""What happens to a message in the local QStash: `engine` delivers by `clock`, `state` holds it, `faults` spoil it."""
