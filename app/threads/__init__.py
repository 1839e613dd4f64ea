"""Sessions in the words of the threads API: the published client's wire."""
