"""The grammar of templates, one for flows in code and in manifests: forms, limits, messages."""
