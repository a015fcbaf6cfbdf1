"""A live demonstration on one machine: violations become findings, are triaged, fixed, archived, and come back."""
