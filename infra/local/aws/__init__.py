"""The local AWS: `server` runs it, `deploy` puts the synthesised stack into it, `differences` says where it differs."""
