"""`policyhub clusters`: how all monitored clusters fare, as their statuses say."""
