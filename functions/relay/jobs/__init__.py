"""Jobs that run by the clock: `sweep` every minute, `audit` every five minutes, and with it `drift` once an hour.

`sweep` orders a run's work, `due` publishes, and `run` keeps what a run did.  Each job calls the verbs below it, the
most important first, and heeds the time it was given.  Only the handlers and `relay.wiring` import this folder.
"""
