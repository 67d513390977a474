"""The routes that answer at once; exports and streams of changes have their own folders."""
