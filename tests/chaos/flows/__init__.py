"""The flows in code that the chaos run drives."""
