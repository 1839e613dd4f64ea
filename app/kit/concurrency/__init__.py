"""What tasks of one process have to do with each other: batches, shares, ends."""
