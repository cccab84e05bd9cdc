"""What happens to a message in the local QStash.

`publish` makes messages, `engine` delivers them by `clock` through `web`, `line` makes them wait for their turn.
`messages`, `history` and `state` are the data, `views` their JSON.  `schedules` publishes by cron, and `faults` fails
on command.
"""
