"""What is stored in Redis: key names, documents, generations, and the Lua that computes what indexes hold.

The projector writes it and the API reads it, so both import it from here.
"""
