"""Processes that end with the process that started them.

`sandbox` starts and ends them; `watchdog` ends them when the sandbox's own process was killed.
"""
