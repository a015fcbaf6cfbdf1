"""Monitored clusters' API servers: connections, discovery, list + watch."""
