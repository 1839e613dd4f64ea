"""Carrying out verbs: apply, prompt, and the rest."""
