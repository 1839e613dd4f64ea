"""What is counted before a request is answered: connections, heads, quotas."""
