"""The `relay` command: `main` has all commands, `commands` a module for each noun.

`client` calls the deployed relay and AWS.  `terminal` reads options and prints.  The modules beside them do the work of
one command or of several.
"""
