"""The pictures of the documentation (docs/images): one command takes them, and a check finds stale ones."""
