// What the real `qs` makes of query strings: a JSON list of them in, a JSON list of trees out.
//
// As Medusa reads them: brackets by Express, dots by its own `normalizeQuery`; and without a limit on lists,
// as our contract has it.

const { readFileSync } = require("node:fs")
const qs = require("qs")

const options = {
  allowDots: true,
  allowPrototypes: true,
  arrayLimit: 5000,
  depth: 5,
  parameterLimit: 5000,
}
const queries = JSON.parse(readFileSync(0, "utf8"))
process.stdout.write(JSON.stringify(queries.map((query) => qs.parse(query, options))))
