"""Security Hub CSPM of one account in one Region: calls, pace, batches, inventory."""
