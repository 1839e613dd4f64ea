"""How much of something there may be: what multiplies is counted, what is kept is weighed."""
