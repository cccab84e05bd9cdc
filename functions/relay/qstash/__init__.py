"""QStash's HTTP API, and all of its words: nothing above this folder knows a path, a header or a field of it.

`client` publishes and reads the log, `resources` has groups, schedules and queues, `http` makes the calls,
`callbacks` and `signature` read what QStash sends here, `message_log` tells what its log says of a message, `regions`
knows where Upstash has it.
It imports the runtime, errors and the model.
"""
