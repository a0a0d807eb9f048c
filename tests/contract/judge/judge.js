// Reads an AsyncAPI document and prints what the official parser finds wrong, as JSON.
const { readFileSync } = require('node:fs')
const { Parser } = require('@asyncapi/parser')

new Parser().parse(readFileSync(process.argv[2], 'utf8')).then(({ document, diagnostics }) => {
  const errors = diagnostics.filter((found) => found.severity === 0).map((found) => `${found.path.join('.')}: ${found.message}`)
  const messages = document ? document.allMessages().all().map((message) => message.name()) : []
  console.log(JSON.stringify({ accepted: document !== undefined, errors, messages }))
})
