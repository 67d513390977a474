"""What the projector stores in Redis and the API reads: key names, documents, generations, and Lua for both."""
