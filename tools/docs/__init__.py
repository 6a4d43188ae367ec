"""Reference documents, generated from the code that they describe.

__main__.py   `python -m tools.docs`, and `--check`
fields.py     a pydantic model as rows of a table
api.py        docs/api.md and docs/schema/*.json, from core/contracts/
examples.py   a request for each task and one result, all of them valid
settings.py   docs/settings.md, from core/settings/ and core/weights/
errors.py     docs/errors.md, from core/errors/
packages.py   the map of folders in CONTRIBUTING.md, from docstrings
"""
