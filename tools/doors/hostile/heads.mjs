// Disguised or malformed paths and heads. Each attack yields its description and the status of the answer: 0 if the
// connection was closed instead.
import { PLACES, exchange, head, json } from "./raw.mjs";

const TRICKS = [
  "/../../../../etc/passwd",
  "/assets/../../../etc/passwd",
  "/assets/%2e%2e/%2e%2e/etc/passwd",
  "/vendor/..%2f..%2fetc%2fpasswd",
  "/assets/..%5c..%5cetc",
  "/assets//etc/passwd",
  "//etc/passwd",
  "/%2fetc%2fpasswd",
  "/./v1/../v1/./status/..",
  "/v1/spaces/..",
  "/v1/spaces/../status",
  "/v1/spaces/-/collections/..",
  "/v1/spaces/-/collections/%2e%2e%2fdocs",
  "/v1/spaces/-/collections/a%2fb",
  "/v1/spaces/-/collections/%00",
  "/v1/spaces/-/collections/_system/docs",
  "/v1/spaces/-/collections/%5f/docs/a",
  `${PLACES.collection}/docs/%00`,
  `${PLACES.collection}/docs/%c0%af`,
  `${PLACES.collection}/docs/%ff`,
  `${PLACES.collection}/docs/%ed%a0%80`,
  `${PLACES.collection}/docs/%f4%90%80%80`,
  `${PLACES.collection}/docs/%`,
  `${PLACES.collection}/docs/%2`,
  `${PLACES.collection}/docs/${"a".repeat(256)}`,
  `${PLACES.collection}/docs/${"%61".repeat(300)}`,
  `${PLACES.collection}/docs/~${"0".repeat(33)}`,
  `${PLACES.collection}/docs?limit=0`,
  `${PLACES.collection}/docs?limit=18446744073709551616`,
  `${PLACES.collection}/docs?limit=-1`,
  `${PLACES.collection}/docs?limit=1&limit=2`,
  `${PLACES.collection}/docs?bookmark=%00`,
  `${PLACES.collection}/docs?nothing=1`,
  "/v1/spaces/-%3a%00/collections",
  "/v1/spaces/%20/collections",
  "/v1/spaces/%e2%80%ae/collections",
  "/v1/spaces/-/changes?since=%00",
  "/v1/spaces/-/changes?since=../..",
  "/v1/spaces/-/changes?timeout=99999999999999999999",
];

/** Disguised or malformed paths and heads. */
export async function* tricks({ url, token }) {
  for (const path of TRICKS) {
    for (const method of ["GET", "PUT", "DELETE"]) {
      const { status, text } = await exchange(url, head(method, path, json(token, { "Content-Length": 0 })));
      yield { what: `${method} ${path.slice(0, 60)}`, status: text.includes("root:") ? 500 : status };
    }
  }
  const auth = `Authorization: Bearer ${token}\r\n`;
  const line = (text) => `${text}\r\nHost: a\r\n${auth}\r\n`;
  const get = "GET /v1/status HTTP/1.1\r\n";
  const put = `PUT ${PLACES.doc} HTTP/1.1\r\nHost: a\r\n${auth}`;
  const heads = {
    "a path of 100 kB": line(`GET /${"a".repeat(100_000)} HTTP/1.1`),
    "a query of 1 MB": line(`GET /v1/status?${"a".repeat(1_000_000)} HTTP/1.1`),
    "a header of 1 MB": `${get}Host: a\r\nX-A: ${"a".repeat(1_000_000)}\r\n\r\n`,
    "10,000 headers": `${get}Host: a\r\n${"X-A: a\r\n".repeat(10_000)}\r\n`,
    "two lengths": `${put}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x`,
    "a length that is negative": `${put}Content-Length: -1\r\n\r\n{}`,
    "a length that is too long": `${put}Content-Length: 99999999999999999999999\r\n\r\n{}`,
    "a chunk whose length is none": `${put}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`,
    "a chunk whose length is too long": `${put}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n`,
    "an encoding that is not known": `${put}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    "a NUL in a header": `${get}Host: a\r\nX-A: a\0b\r\n\r\n`,
    "a header that is folded": `${get}Host: a\r\nX-A: a\r\n b\r\n\r\n`,
    "a space before the colon": `${get}Host : a\r\n\r\n`,
    "no HTTP": "\0\x01\x02\x03\r\n\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a hello of TLS": Buffer.from("160301020001000100", "hex"),
    "a token that is no text": Buffer.from(`${get}Host: a\r\nAuthorization: Bearer \xff\xfe\r\n\r\n`, "latin1"),
    "a token of 60 kB": `${get}Host: a\r\nAuthorization: Bearer ${"a".repeat(60_000)}\r\n\r\n`,
    "a method of 1,000 letters": line(`${"G".repeat(1000)} /v1/status HTTP/1.1`),
  };
  for (const [what, bytes] of Object.entries(heads)) yield { what, ...(await exchange(url, bytes)), mayClose: true };
}
