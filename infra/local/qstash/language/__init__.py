"""What QStash's words mean: headers, durations, cron and limits.  Pure; `infra.config` reads it, too."""
