// Calls the route for Mercur as Mercur does. One JSON in on standard input, one out on standard output.
//
// in:  {route, baseUrl, apiKey, gone, requests: [query string]}; route: the path of route.ts; gone: the id of a group
// out: [{body, read} | {type, message}], in the order of the requests; read: what Mercur's workflow was run with
//
// Mercur's workflow returns rows in an order of its own, and none for a group that is gone meanwhile.

const { readFileSync } = require("node:fs")
const Module = require("node:module")
const ts = require("typescript")

class MedusaError extends Error {
  static Types = { INVALID_DATA: "invalid_data", UNEXPECTED_STATE: "unexpected_state" }

  constructor(type, message) {
    super(message)
    this.type = type
  }
}

let read, absent
const getOrderGroupsListWorkflow = () => ({
  run: async ({ input }) => {
    read = input
    const rows = input.variables.id.map((id) => ({ id, of: "mercur" }))
    return { result: { rows: rows.reverse().filter(({ id }) => id !== absent) } }
  },
})

const load = Module._load
Module._load = (name, ...rest) =>
  ({
    "@medusajs/framework/http": {},
    "@medusajs/framework/utils": { MedusaError },
    "@mercurjs/core/workflows": { getOrderGroupsListWorkflow },
  })[name] ?? load(name, ...rest)

async function main() {
  const { route, baseUrl, apiKey, gone, requests } = JSON.parse(readFileSync(0, "utf8"))
  absent = gone
  Object.assign(process.env, { ORDER_GROUPS_URL: baseUrl, ORDER_GROUPS_API_KEY: apiKey })
  const options = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 }
  const compiled = new Module(route)
  compiled._compile(ts.transpile(readFileSync(route, "utf8"), options), route)
  const answers = []
  for (const query of requests) {
    read = undefined
    const request = { originalUrl: `/admin/order-groups?${query}`, queryConfig: { fields: ["id", "total"] }, scope: {} }
    try {
      await compiled.exports.GET(request, { json: (body) => answers.push({ body, read }) })
    } catch (error) {
      answers.push({ type: error.type, message: error.message })
    }
  }
  process.stdout.write(JSON.stringify(answers))
}

main()
