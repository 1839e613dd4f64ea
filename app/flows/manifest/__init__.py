"""Flows written as manifests: checking their parts and compiling them."""
