"""`policyhub findings`: findings as lines, with what analysts have done with them and how old they are. Reads only."""
