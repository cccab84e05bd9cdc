"""A QStash for this machine: the HTTP API of Upstash QStash v2, in memory, on loopback.

`server` starts and stops it, `app` is the ASGI application (users, authentication, rate limits, errors).  `api` answers
calls, over `broker`, which keeps and delivers messages, over `language`, which reads QStash's words.
Nothing in here knows of the relay, so it can stand in for QStash for any client.
"""
