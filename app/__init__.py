"""Statewright: declared AI agents whose conversations are durable state machines."""
