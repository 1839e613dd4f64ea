"""What is sent over HTTP: where it may go, how it is connected, what a status means."""
