// Asks the API with Medusa's own client. One JSON in on standard input, one out on standard output.
//
// in:  {baseUrl, token, apiKey, requests: [{as, path, query}]}
//      as: "jwt" and "apiKey" are the SDK's own ways, "header" sends the key as a bearer, "nobody" sends nothing
// out: [{body} | {status, message}], in the order of the requests

const { readFileSync } = require("node:fs")
const { default: Medusa } = require("@medusajs/js-sdk")

async function clients({ baseUrl, token, apiKey }) {
  const jwt = new Medusa({ baseUrl, auth: { type: "jwt", jwtTokenStorageMethod: "memory" } })
  await jwt.client.setToken(token)
  return {
    jwt,
    apiKey: new Medusa({ baseUrl, apiKey }),
    header: new Medusa({ baseUrl, globalHeaders: { Authorization: `Bearer ${apiKey}` } }),
    nobody: new Medusa({ baseUrl }),
  }
}

async function main() {
  const asked = JSON.parse(readFileSync(0, "utf8"))
  const by = await clients(asked)
  const answers = []
  for (const { as, path, query } of asked.requests) {
    try {
      answers.push({ body: await by[as].client.fetch(path, { query }) })
    } catch (error) {
      if (error.status === undefined) throw error
      answers.push({ status: error.status, message: error.message })
    }
  }
  process.stdout.write(JSON.stringify(answers))
}

main()
