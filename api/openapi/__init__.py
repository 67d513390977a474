"""The OpenAPI 3.1 description of the API, and the page that shows it.

`python -m api.openapi docs` writes docs/openapi.json; `/openapi.json` serves the same.
"""
