"""Tables of skills: their rows, their versions, and who is subscribed to them."""
