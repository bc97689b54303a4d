// What is sent that is too large, malformed or too deep. Each attack yields what it was and the status of the answer, 0
// where the connection was closed instead.
import WebSocket from "ws";
import { exchange, head } from "./raw.mjs";

const C = "/v1/spaces/-/collections/honest";
const DOC = `${C}/docs/victim`;
const MEBIBYTE = 1 << 20;
const LARGE = 100 * MEBIBYTE;
const LEVELS = 100_000;

const json = (token, more = {}) => ({ Authorization: `Bearer ${token}`, "Content-Type": "application/json", ...more });
const post = (token, path, body, more) =>
  [head("POST", path, json(token, { "Content-Length": Buffer.byteLength(body), ...more })), body];

const JSON_ROUTES = [
  ["PUT", DOC], ["POST", `${C}/docs`], ["POST", `${C}/find`], ["POST", `${C}/count`], ["POST", `${C}/explain`],
  ["POST", "/v1/spaces/-/transactions"], ["PUT", `${C}/schema`], ["PUT", `${C}/rules`], ["PUT", `${C}/indexes/a`],
  ["POST", "/graphql"], ["POST", "/v1/accounts"], ["POST", "/v1/tokens"], ["POST", "/v1/auth/login"],
];

function* repeated(piece, count) {
  for (let at = 0; at < count; at += 1) yield piece;
}

/** Bodies of 100 MB, said before or not, with a token or without. */
export async function* bodies({ url, token }) {
  const piece = Buffer.alloc(MEBIBYTE, " ");
  const chunk = Buffer.concat([Buffer.from("100000\r\n"), piece, Buffer.from("\r\n")]);
  for (const sender of [token, "cs_pat_none"]) {
    for (const [method, path] of JSON_ROUTES) {
      const said = head(method, path, json(sender, { "Content-Length": LARGE }));
      const { status } = await exchange(url, [said, ...repeated(piece, LARGE / MEBIBYTE)]);
      yield { what: `100 MB to ${path}`, status };
      const chunked = head(method, path, json(sender, { "Transfer-Encoding": "chunked" }));
      yield { what: `100 MB in chunks to ${path}`, ...await exchange(url, [chunked, ...repeated(chunk, 100)]) };
    }
    // An import has no limit, but a record has.
    const row = head("POST", `${C}/import?format=csv`, json(sender, { "Content-Length": LARGE }));
    yield { what: "a record of 100 MB", ...await exchange(url, [row, ...repeated(Buffer.alloc(MEBIBYTE, "x"), 100)]) };
  }
}

/** JSON that nests 100,000 levels, and other JSON that nobody should take. */
export async function* shapes({ url, token }) {
  const deep = ["[", '{"a":', '{"$and":[', '{"$not":'].map((open) => open.repeat(LEVELS));
  const odd = [
    Buffer.from([0xff, 0xfe, 0x00]), Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]),
    Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
    '{"a":1e999}', '{"a":123456789012345678901234567890}', '{"a":1,"a":2}', '{"a":"\\ud800"}', '{"a":NaN}', "nul", "", "\0",
  ];
  for (const [method, path] of JSON_ROUTES) {
    for (const body of [...deep, ...deep.map((text) => `{"selector":${text}`), ...odd]) {
      const length = Buffer.byteLength(body);
      const said = head(method, path, json(token, { "Content-Length": length }));
      const what = `${String(body.slice(0, 12))}... of ${length} bytes to ${path}`;
      yield { what, ...await exchange(url, [said, body]) };
    }
  }
  const where = encodeURIComponent(`${'{"$and":['.repeat(2000)}`);
  yield { what: "a deep selector in a query", ...await exchange(url, head("GET", `${C}/docs?where=${where}`, json(token))) };
  const wide = JSON.stringify({ selector: { $or: Array.from({ length: 20_000 }, (_, at) => ({ a: at })) } });
  yield { what: "20,000 branches", ...await exchange(url, post(token, `${C}/find`, wide)) };
  for (const pattern of ["(a{1000}){1000}", "(".repeat(5000), "(a|a)*$".repeat(60), "\\p{L}{500}{500}"]) {
    const body = JSON.stringify({ selector: { a: { $regex: pattern } } });
    yield { what: `the pattern ${pattern.slice(0, 20)}`, ...await exchange(url, post(token, `${C}/find`, body)) };
  }
}

const TRICKS = [
  "/../../../../etc/passwd", "/assets/../../../etc/passwd", "/assets/%2e%2e/%2e%2e/etc/passwd", "/vendor/..%2f..%2fetc%2fpasswd",
  "/assets/..%5c..%5cetc", "/assets//etc/passwd", "//etc/passwd", "/%2fetc%2fpasswd", "/./v1/../v1/./status/..", "/v1/spaces/..",
  "/v1/spaces/../status", "/v1/spaces/-/collections/..", "/v1/spaces/-/collections/%2e%2e/docs", "/v1/spaces/-/collections/a%2fb",
  "/v1/spaces/-/collections/%00", "/v1/spaces/-/collections/_system/docs", "/v1/spaces/-/collections/%5f/docs/a",
  `${C}/docs/%00`, `${C}/docs/%c0%af`, `${C}/docs/%ff`, `${C}/docs/%ed%a0%80`, `${C}/docs/%f4%90%80%80`, `${C}/docs/%`, `${C}/docs/%2`,
  `${C}/docs/${"a".repeat(256)}`, `${C}/docs/${"%61".repeat(300)}`, `${C}/docs/~${"0".repeat(33)}`, `${C}/docs?limit=0`,
  `${C}/docs?limit=18446744073709551616`, `${C}/docs?limit=-1`, `${C}/docs?limit=1&limit=2`, `${C}/docs?bookmark=%00`, `${C}/docs?nothing=1`,
  "/v1/spaces/-%3a%00/collections", "/v1/spaces/%20/collections", "/v1/spaces/%e2%80%ae/collections",
  "/v1/spaces/-/changes?since=%00", "/v1/spaces/-/changes?since=../..", "/v1/spaces/-/changes?timeout=99999999999999999999",
];

/** Paths and heads that are not what they seem. */
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
  const put = `PUT ${DOC} HTTP/1.1\r\nHost: a\r\n${auth}`;
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
  for (const [what, bytes] of Object.entries(heads)) yield { what, ...await exchange(url, bytes), mayClose: true };
}

/** GraphQL that would cost much. */
export async function* queries({ url, token }) {
  const nested = (levels) => `{ honest { docs ${"{ _value ".repeat(levels)}${"}".repeat(levels)} } }`;
  const many = (count, of) => Array.from({ length: count }, (_, at) => of(at)).join(" ");
  const bombs = {
    "1,000 levels": nested(1000),
    "30,000 levels": `${"{a".repeat(30_000)}${"}".repeat(30_000)}`,
    "30,000 lists": `{ honest(where: ${"[".repeat(30_000)}${"]".repeat(30_000)}) { docs { _id } } }`,
    "5,000 aliases": `{ ${many(5000, (at) => `a${at}: honest { docs { _id } }`)} }`,
    "100 lists of 1,000": `{ ${many(100, (at) => `a${at}: honest(limit: 1000) { docs { _id _key _version _value } }`)} }`,
    "fragments in a circle": "query { ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
    "fragments that double": `{ ...f0 } ${many(24, (at) => `fragment f${at} on Query { a${at}: honest { docs { _id } } ...f${at + 1} ...f${at + 1} }`)
    } fragment f24 on Query { honest { docs { _id } } }`,
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
    // What is wrong with a GraphQL request stands in an answer with status 200.
    yield { what: `GraphQL: ${what}`, status: status === 200 && text.includes('"errors"') ? 400 : status };
  }
  yield { what: "GraphQL: a batch", ...await exchange(url, post(token, "/graphql", '[{"query":"{__typename}"}]')) };
}

/** Says messages on a WebSocket and returns how it was closed; 400 stands for an error that it told of. */
function said(url, path, protocol, token, work) {
  return new Promise((resolve) => {
    const headers = { Authorization: `Bearer ${token}` };
    const socket = new WebSocket(`${url.replace("http", "ws")}${path}`, protocol, { headers });
    const told = (status) => {
      clearTimeout(timer);
      socket.terminate();
      resolve(status);
    };
    const timer = setTimeout(() => told(599), 60_000);
    socket.on("open", () => work(socket));
    socket.on("message", (bytes) => String(bytes).includes('"error"') && told(400));
    socket.on("close", () => told(0));
    socket.on("error", () => {});
  });
}

/** Frames and messages of WebSockets. */
export async function* frames({ url, token }) {
  const doors = [["/v1/ws", "cosmicsync.v1"], ["/graphql", "graphql-transport-ws"]];
  const works = {
    "a frame of 100 MB": (socket) => socket.send("a".repeat(LARGE)),
    "no text": (socket) => socket.send(Buffer.from([1, 2, 3])),
    "a text that is none": (socket) => socket.send(Buffer.from([0xff, 0xfe]), { binary: false }),
    "no JSON": (socket) => socket.send("{"),
    "deep JSON": (socket) => socket.send("[".repeat(LEVELS)),
    "a message in 100,000 frames": (socket) => {
      for (let at = 0; at < 100_000; at += 1) socket.send("a".repeat(20), { fin: at === 99_999 });
    },
    "a frame without a mask": (socket) => socket._socket.write(Buffer.from([0x81, 0x01, 0x61])),
    "a frame that says that it has 2^63 bytes": (socket) => socket._socket.write(Buffer.from("81ff8000000000000000aaaaaaaa", "hex")),
    "reserved bits": (socket) => socket._socket.write(Buffer.from("f18100000000ff", "hex")),
    "200 subscriptions": (socket) => {
      for (let at = 0; at < 200; at += 1) {
        socket.send(JSON.stringify(socket.protocol === "cosmicsync.v1"
          ? { type: "sub", id: `a${at}`, kind: "feed" }
          : at === 0 ? { type: "connection_init" }
            : { type: "subscribe", id: `a${at}`, payload: { query: "subscription { honest { _id } }" } }));
      }
    },
    "a credit beyond all numbers": (socket) => socket.send('{"type":"credit","id":"a","n":1e99}'),
  };
  for (const [path, protocol] of doors) {
    for (const [what, work] of Object.entries(works)) {
      const status = await said(url, path, protocol, token, work);
      yield { what: `${path}: ${what}`, status, mayClose: true };
    }
  }
}
