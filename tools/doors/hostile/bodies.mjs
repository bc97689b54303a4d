// Bodies that are too large, and JSON that must not be accepted. Each attack yields its description and the status of
// the answer: 0 if the connection was closed instead.
import { LARGE, LEVELS, MEBIBYTE, PLACES, exchange, head, json, post } from "./raw.mjs";

const JSON_ROUTES = [
  ["PUT", PLACES.doc],
  ["POST", `${PLACES.collection}/docs`],
  ["POST", `${PLACES.collection}/find`],
  ["POST", `${PLACES.collection}/count`],
  ["POST", `${PLACES.collection}/explain`],
  ["POST", "/v1/spaces/-/transactions"],
  ["PUT", `${PLACES.collection}/schema`],
  ["PUT", `${PLACES.collection}/rules`],
  ["PUT", `${PLACES.collection}/indexes/a`],
  ["POST", "/graphql"],
  ["POST", "/v1/accounts"],
  ["POST", "/v1/tokens"],
  ["POST", "/v1/auth/login"],
];

function* repeated(piece, count) {
  for (let at = 0; at < count; at += 1) yield piece;
}

/**
 * Bodies of 100 MB, with or without a declared length, with or without a token. The node may close the connection
 * early.
 */
export async function* bodies({ url, token }) {
  const piece = Buffer.alloc(MEBIBYTE, " ");
  const chunk = Buffer.concat([Buffer.from("100000\r\n"), piece, Buffer.from("\r\n")]);
  const mayClose = true;
  for (const sender of [token, "cs_pat_none"]) {
    for (const [method, path] of JSON_ROUTES) {
      const said = head(method, path, json(sender, { "Content-Length": LARGE }));
      const whole = await exchange(url, [said, ...repeated(piece, LARGE / MEBIBYTE)]);
      yield { what: `100 MB to ${path}`, ...whole, mayClose };
      const chunked = head(method, path, json(sender, { "Transfer-Encoding": "chunked" }));
      const pieces = await exchange(url, [chunked, ...repeated(chunk, LARGE / MEBIBYTE)]);
      yield { what: `100 MB in chunks to ${path}`, ...pieces, mayClose };
    }
    // An import has no limit, but a record has.
    const row = head("POST", `${PLACES.collection}/import?format=csv`, json(sender, { "Content-Length": LARGE }));
    const record = await exchange(url, [row, ...repeated(Buffer.alloc(MEBIBYTE, "x"), LARGE / MEBIBYTE)]);
    yield { what: "a record of 100 MB", ...record, mayClose };
  }
}

/** JSON that nests 100,000 levels, and other JSON that must not be accepted. */
export async function* shapes({ url, token }) {
  const deep = ["[", '{"a":', '{"$and":[', '{"$not":'].map((open) => open.repeat(LEVELS));
  const odd = [
    Buffer.from([0xff, 0xfe, 0x00]),
    Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]),
    Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
    '{"a":1e999}',
    '{"a":123456789012345678901234567890}',
    '{"a":1,"a":2}',
    '{"a":"\\ud800"}',
    '{"a":NaN}',
    "nul",
    "",
    "\0",
  ];
  for (const [method, path] of JSON_ROUTES) {
    for (const body of [...deep, ...deep.map((text) => `{"selector":${text}`), ...odd]) {
      const length = Buffer.byteLength(body);
      const said = head(method, path, json(token, { "Content-Length": length }));
      const what = `${String(body.slice(0, 12))}... of ${length} bytes to ${path}`;
      yield { what, ...(await exchange(url, [said, body])) };
    }
  }
  const where = encodeURIComponent(`${'{"$and":['.repeat(2000)}`);
  yield {
    what: "a deep selector in a query",
    ...(await exchange(url, head("GET", `${PLACES.collection}/docs?where=${where}`, json(token)))),
  };
  const wide = JSON.stringify({ selector: { $or: Array.from({ length: 20_000 }, (_, at) => ({ a: at })) } });
  yield { what: "20,000 branches", ...(await exchange(url, post(token, `${PLACES.collection}/find`, wide))) };
  for (const pattern of ["(a{1000}){1000}", "(".repeat(5000), "(a|a)*$".repeat(60), "\\p{L}{500}{500}"]) {
    const body = JSON.stringify({ selector: { a: { $regex: pattern } } });
    yield {
      what: `the pattern ${pattern.slice(0, 20)}`,
      ...(await exchange(url, post(token, `${PLACES.collection}/find`, body))),
    };
  }
}
