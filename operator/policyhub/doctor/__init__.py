"""`policyhub doctor`: what keeps findings from Security Hub, found out by asking, in words and as an exit code."""
