"""The answers to operators: events, deliveries, refusals, balances and the health of destinations, as JSON.

`routes` is the table of the API's routes, `answers` the verb, `views` the JSON.  `health` computes the destinations'
health, `diagnosis` names the likely cause of refusals, `implied` lists deliveries that have no record yet.  In the
relay only handlers and `relay.wiring` import this folder; the stack and the `relay` command import `routes`.
"""
