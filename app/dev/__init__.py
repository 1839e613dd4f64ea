"""What `statewright dev` and the tests run: the embedded services and their supervisor."""
