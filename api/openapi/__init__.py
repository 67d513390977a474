"""The API as OpenAPI 3.1, and the page that shows it.

`python -m api.openapi docs` writes docs/openapi.json; `/openapi.json` serves the same.
"""
