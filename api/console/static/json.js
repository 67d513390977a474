// JSON whose numbers keep every digit.

// As JSON.parse, but a number that JavaScript would not print as it is written stays the text: 123456789012345.123456
// is that text, 94.31 a number. `String(value)` is always what the server sent. Browsers that do not give the source
// of a number (before 2025) read numbers as doubles, which are exact up to 15 digits.
export const parse = (text) => JSON.parse(text, (_, value, context) => {
  const source = context?.source;
  return typeof value === "number" && source !== undefined && String(value) !== source ? source : value;
});

// Breaks and indents the lines of a JSON text. Strings and numbers stay as they are.
export function indent(text) {
  let depth = 0;
  return text.replace(/"(?:[^"\\]|\\.)*"|\[\]|\{\}|[[\]{},:]/g, (token) => {
    if (token === "," ) return `,\n${"  ".repeat(depth)}`;
    if (token === ":") return ": ";
    if (token === "[" || token === "{") return `${token}\n${"  ".repeat(++depth)}`;
    if (token === "]" || token === "}") return `\n${"  ".repeat(--depth)}${token}`;
    return token;
  });
}
