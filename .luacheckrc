std = "lua51"
max_line_length = 120
-- What Redis offers to scripts; and the modules that each script is made of, see assembled() in readmodel/client/script.py.
read_globals = {
  "redis", "cjson", "cmsgpack", "struct", "bit", "KEYS", "ARGV",
  "requests", "lists", "checks", "changed", "texts", "bits", "value_bitmaps", "note", "BROAD_GROUPS_MIN",
  "shard", "query", "changes", "masks", "slices", "rows", "filters", "prepared", "needle", "ranks", "page", "after",
  "steps", "answer", "facets", "sums", "histogram", "aggregates",
}
