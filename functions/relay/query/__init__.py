"""What operators are told: events, deliveries, refusals, balances and the health of destinations, as JSON.

`answers` is the verb, `views` the JSON, `health` reckons how destinations do, `diagnosis` names the likely cause of
refusals, `implied` lists deliveries that have no record yet.  Nothing imports it but handlers and `relay.wiring`.
"""
