// Instantiates the module built from tools/wasm and compares the core's result there with that of the native build.
// Usage: node smoke.mjs MODULE.wasm

import { readFile } from "node:fs/promises";

const expected = 1889918532779595577n;

// The pure core needs nothing from its host. Loro draws a number for each new document, which the core replaces, with
// the browser's `crypto`. The host below offers that alone, and the bytes are zeros: no result may depend on them.
// Any other import that is called fails loudly.
// Values by their places; the low places are taken, and 0 is "none".
const LOW = 2048;
const values = new Array(LOW);
const keep = (value) => values.push(value) - 1;
const globals = {};
const crypto = {};
let drawn = 0;
const browser = {
  static_accessor_GLOBAL_THIS: () => keep(globals),
  static_accessor_SELF: () => keep(globals),
  __wbindgen_externref_statics_end: () => LOW,
  __wbindgen_is_object: (at) => Number(typeof values[at] === "object" && values[at] !== null),
  __wbindgen_is_undefined: (at) => Number(values[at] === undefined),
  process: () => keep(undefined),
  crypto: () => keep(crypto),
  new_with_length: (length) => keep(new Uint8Array(length)),
  subarray: (at, from, to) => keep(values[at].subarray(from, to)),
  length: (at) => values[at].length,
  getRandomValues: (_, at) => {
    drawn += values[at].length;
  },
  prototypesetcall: (to, length, from) => new Uint8Array(exports.memory.buffer, to, length).set(values[from]),
};
const refuse = (name) => () => {
  throw new Error(`the core called ${name}`);
};

const module = await WebAssembly.compile(await readFile(process.argv[2]));
const imports = {};
for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
  if (kind !== "function") throw new Error(`unexpected import ${from}.${name}: ${kind}`);
  // A name is `__wbg_NAME_HASH`; it drops or clones a value without either.
  const bare = name.replace(/^__wbg_/, "").replace(/_[0-9a-f]{16}$/, "");
  const known = { __wbindgen_object_drop_ref: () => {}, __wbindgen_object_clone_ref: (at) => keep(values[at]) };
  (imports[from] ??= {})[name] = known[name] ?? browser[bare] ?? refuse(`${from}.${name}`);
}
const { exports } = await WebAssembly.instantiate(module, imports);

const number = BigInt.asUintN(64, exports.cosmicsync_smoke(7));
if (number !== expected) {
  throw new Error(`the WebAssembly build draws ${number}, the native build ${expected}`);
}
if (drawn !== 0) {
  throw new Error("the core drew random bytes of its host");
}
console.log("wasm: the same number as in the native build, and no import called");
if (exports.cosmicsync_two_peers() !== 1) {
  throw new Error("two peers inside the module do not merge a document that both edited");
}
console.log(`wasm: two peers inside the module merge a document that both edited (${drawn} zero bytes drawn by Loro)`);
console.log("wasm: 2 passed, 0 failed");
