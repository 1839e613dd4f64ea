"""What brokers of several kinds share."""
