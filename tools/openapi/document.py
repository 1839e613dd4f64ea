"""Prints the OpenAPI document: `python -m tools.openapi.document`."""

import json

from app.main import create_app
from app.settings import Settings

print(json.dumps(create_app(Settings(dev=True, log_level="ERROR")).openapi(), indent=1))
