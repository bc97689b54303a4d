// Instantiates the module built from tools/wasm and compares the core's result there with that of the native build.
// Usage: node smoke.mjs MODULE.wasm

import { readFile } from "node:fs/promises";

const expected = 1889918532779595577n;

// The pure core needs nothing from its host. A dependency has imports, and calling one fails loudly.
const refuse = (name) => () => {
  throw new Error(`the core called ${name}`);
};

const module = await WebAssembly.compile(await readFile(process.argv[2]));
const imports = {};
for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
  if (kind !== "function") throw new Error(`unexpected import ${from}.${name}: ${kind}`);
  (imports[from] ??= {})[name] = refuse(`${from}.${name}`);
}
const { exports } = await WebAssembly.instantiate(module, imports);

const drawn = BigInt.asUintN(64, exports.cosmicsync_smoke(7));
if (drawn !== expected) {
  throw new Error(`the WebAssembly build draws ${drawn}, the native build ${expected}`);
}
console.log(`wasm: ${WebAssembly.Module.imports(module).length} imports, none called; same number as the native build`);
console.log("wasm: 1 passed, 0 failed");
