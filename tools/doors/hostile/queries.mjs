// Expensive GraphQL requests. Each attack yields its description and the status of the answer: 0 if the connection was
// closed instead.
import { exchange, post } from "./raw.mjs";

/** Expensive GraphQL requests. */
export async function* queries({ url, token }) {
  const nested = (levels) => `{ honest { docs ${"{ _value ".repeat(levels)}${"}".repeat(levels)} } }`;
  const many = (count, of) => Array.from({ length: count }, (_, at) => of(at)).join(" ");
  const bombs = {
    "1,000 levels": nested(1000),
    "30,000 levels": `${"{a".repeat(30_000)}${"}".repeat(30_000)}`,
    "30,000 lists": `{ honest(where: ${"[".repeat(30_000)}${"]".repeat(30_000)}) { docs { _id } } }`,
    "5,000 aliases": `{ ${many(5000, (at) => `a${at}: honest { docs { _id } }`)} }`,
    "100 lists of 1,000": `{ ${many(100, (at) => `a${at}: honest(limit: 1000) { docs { _id _key _value } }`)} }`,
    "fragments in a circle": "query { ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
    "fragments that double": `{ ...f0 } ${many(
      24,
      (at) => `fragment f${at} on Query { a${at}: honest { docs { _id } } ...f${at + 1} ...f${at + 1} }`,
    )} fragment f24 on Query { honest { docs { _id } } }`,
    "5,000 directives": `{ honest ${"@skip(if: false) ".repeat(5000)} { docs { _id } } }`,
    "127 kB of a name": `{ ${"a".repeat(127_000)} }`,
    "1 MB of text": `{ honest { docs { _id } } } #${"a".repeat(1_000_000)}`,
    "introspection that nests": `{ __schema { types { ${"fields { type { ".repeat(40)} name ${"} }".repeat(40)} } } }`,
    "5,000 operations": many(5000, (at) => `query q${at} { honest { docs { _id } } }`),
    "deep variables": "query ($a: Json) { honest(where: $a) { docs { _id } } }",
    "no query": "",
  };
  for (const [what, query] of Object.entries(bombs)) {
    const variables = what === "deep variables" ? { a: JSON.parse(`${"[".repeat(60)}${"]".repeat(60)}`) } : undefined;
    const body = JSON.stringify({ query, variables });
    const { status, text } = await exchange(url, post(token, "/graphql", body));
    // An error of a GraphQL request comes in an answer with status 200.
    yield { what: `GraphQL: ${what}`, status: status === 200 && text.includes('"errors"') ? 400 : status };
  }
  yield { what: "GraphQL: a batch", ...(await exchange(url, post(token, "/graphql", '[{"query":"{__typename}"}]'))) };
}
