"""The pictures of the documentation (docs/images): taken by one command, and known to be of what there is now."""
