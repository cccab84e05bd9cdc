"""QStash's HTTP API: nothing above this folder knows a path, a header or a field of it.

`client` publishes and reads the log, `resources` has groups, schedules and queues, `http` makes the calls.
`callbacks` and `signature` read QStash's requests to the relay, `message_log` reads a message's history from the log,
and `regions` has Upstash's regions.
This folder imports the runtime, errors and the model.
"""
