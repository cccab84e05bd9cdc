"""The command at the terminal: shared options, errors, tables, and streams that may break.

`options` has the options of every command (`GlobalOptions`) and the error of every command (`CommandError`).  `tables`
prints rows for people.  Nothing here uses the network.
"""
