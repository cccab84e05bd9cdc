"""Processes on this machine that end when their owner does: `sandbox` and `watchdog`."""
