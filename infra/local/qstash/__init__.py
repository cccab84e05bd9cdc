"""A QStash for this machine: the HTTP API of Upstash QStash v2, in memory, on loopback.

Nothing in here knows of the relay, so that it can stand in for QStash for anything.  Its modules, from the
outside in:

* `server`     starting and stopping it as a process
* `asgi`       the application: users, authentication, errors
* `routes`     the HTTP API, a function for each `call`
* `selection`  filters, pages and cursors        `publish`  URL groups and deduplication
* `engine`     attempts, retries, callbacks      `views`    the JSON of QStash's objects
* `state`      what is remembered                `signing`  signatures and ids
* `options`    the ``Upstash-*`` headers         `grammar`  the small languages in them
"""
