"""Providers of chat models, one file each: `chat_model(config, http)` makes the model.

The file's name is the provider's. They are imported only when a config names them: an SDK takes
seconds to import.
"""
