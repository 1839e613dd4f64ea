"""What commands print, in the format that is asked for."""
