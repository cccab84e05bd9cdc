"""The commands, a module a noun: `relay event …` is `event`.

A command reads its options, calls `cli.client`, and prints through `cli.terminal`.  `cli.main` lists them all.  No
command imports another one.
"""
