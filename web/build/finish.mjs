// Packs what Vite built into dist/, which is committed and which the node embeds: each file with gzip, a list of them that
// Rust includes, and the digest of the sources that they were made of (node/api/tests/http/console.rs compares it).
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { packed } from "./pack.mjs";

const web = new URL("..", import.meta.url).pathname;
const [site, dist] = [join(web, "target/site"), join(web, "dist")];
const SOURCES = ["build", "src", "vendor", "docs.html", "graphiql.html", "index.html", "package-lock.json", "tsconfig.json", "vite.config.ts"];

function files(path) {
  try {
    return readdirSync(path).sort().flatMap((name) => files(join(path, name)));
  } catch (error) {
    if (error.code === "ENOTDIR") return [path];
    throw error;
  }
}

/** The digest of all sources, by name. */
function digest() {
  const hash = createHash("sha256");
  const names = SOURCES.flatMap((source) => files(join(web, source))).map((path) => relative(web, path));
  for (const name of names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
    const bytes = readFileSync(join(web, name));
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex");
}

rmSync(dist, { recursive: true, force: true });
const list = [];
let sum = 0;
for (const path of files(site)) {
  const name = relative(site, path);
  const bytes = packed(readFileSync(path));
  mkdirSync(dirname(join(dist, name)), { recursive: true });
  writeFileSync(join(dist, `${name}.gz`), bytes);
  list.push([`/${name}`, `${name}.gz`]);
  sum += bytes.length;
}
for (const name of readdirSync(join(web, "vendor")).sort()) {
  if (name.endsWith(".gz")) list.push([`/vendor/${name.slice(0, -3)}`, `../vendor/${name}`]);
}
const entries = list.map(([path, file]) => `    ("${path}", include_bytes!("${file}")),\n`);
writeFileSync(join(dist, "embed.in"), `// Written by web/build/finish.mjs.\n&[\n${entries.join("")}]\n`);
writeFileSync(join(dist, "sources.sha256"), `${digest()}\n`);
console.log(`dist: ${list.length} files, ${sum} bytes packed without vendor/`);
