"""What workers look for by themselves: steps, invocations and sessions that time passed by."""
