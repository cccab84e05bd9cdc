"""The way in: what happens between a webhook's POST and the answer to its source.

`accept` is the verb: it verifies, saves, publishes once, and answers.  `webhook` is one verified webhook, `spool` keeps
those that the table couldn't take, `quarantine` and `readmission` those that a wrong secret refused; `refusals` counts
what was turned away, `ticks` takes what QStash's schedules send.  It imports no other verb.
"""
