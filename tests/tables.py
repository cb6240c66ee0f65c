"""Import every room's tables, so that the metadata knows them all."""

from __future__ import annotations

import importlib
import pkgutil

import webapp

for module in pkgutil.walk_packages(webapp.__path__, "webapp."):
    if module.name.endswith((".tables", ".due")):
        importlib.import_module(module.name)
