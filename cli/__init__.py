"""The `relay` command: `main` has all commands, `commands` a module for each noun.

`client` reaches what was deployed, `terminal` is what a person sees; what several commands need stands beside them.
"""
