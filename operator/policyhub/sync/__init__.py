"""What is wanted, what Security Hub has, and what to send next."""
