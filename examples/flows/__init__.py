"""Three flows in code; the YAML files beside them declare the like as manifests.

`STATEWRIGHT_FLOWS_PACKAGE=examples.flows statewright dev` serves them.
"""
