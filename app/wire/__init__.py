"""Models that several edges share."""
