"""The whole protocol in one process: the relay's verbs, a store in memory, the local QStash, one clock, no sockets."""
