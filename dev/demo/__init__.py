"""The whole way on one machine, told live: violations become findings, are triaged, fixed, archived, and come back."""
