"""Product-free helpers: nothing in here imports the rest of the app."""
