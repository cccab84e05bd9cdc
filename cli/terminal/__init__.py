"""What a person sees and types: options that several commands share, failures, tables, and streams that may break.

`options` has what every command is handed (`Asked`) and how it fails (`Failure`); `tables` prints rows for people.
Nothing here asks the network.
"""
