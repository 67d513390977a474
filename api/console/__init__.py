"""The console: a page in the browser that uses the HTTP API alone.

`files.py` serves what is in `static/`: `main.js` starts, `views/` are the pages, `parts/` what they share.
"""
