-- The query: the first argument, a msgpack map. Its fields are described where they are used.
return cmsgpack.unpack(ARGV[1])
