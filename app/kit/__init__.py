"""Product-free helpers: nothing in here knows what an agent or a session is."""
