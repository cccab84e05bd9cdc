"""What runs by the clock: `sweep` every minute, `audit` every five minutes, and with it `drift` once an hour.

Each goes through the verbs below it, in an order that says what matters most, and heeds the time it was given.
Nothing imports it but the handlers and `relay.wiring`.
"""
