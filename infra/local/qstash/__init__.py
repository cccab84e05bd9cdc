"""A QStash for this machine: the HTTP API of Upstash QStash v2, in memory, on loopback.

Nothing in here knows of the relay, so that it can stand in for QStash for anything.  Its modules, from the
outside in:

* `server`     starting and stopping it as a process
* `app`        the ASGI application: users, authentication, rate limits, errors
* `routes`     the HTTP API, a function for each `call`       `admin`      faults, time and windows on command
* `selection`  filters, pages and cursors                     `schedules`  publishing at the times of a `cron`
* `publish`    URL groups, quotas and deduplication           `views`      the JSON of QStash's objects
* `engine`     attempts, retries, callbacks                   `faults`     what goes wrong on command
* `web`        one request to a destination                   `hosts`      test hosts, answered inside
* `state`      what is remembered                             `line`       waiting one's turn
* `options`    the ``Upstash-*`` headers                      `grammar`    the small languages in them
* `limits`     what a plan allows                             `clock`      time, and how it is moved
* `signing`    signatures and ids
"""
