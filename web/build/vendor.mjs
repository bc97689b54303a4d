// Fetches what the pages for programs show, from npm, and keeps it packed in vendor/: `npm run vendor`.
// Needed only to take newer versions. The names of the files carry the versions, so browsers may keep them for ever;
// src/docs/vendored.ts names them.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { minifySync } from "rolldown/experimental";
import { packed } from "./pack.mjs";

const VERSIONS = { "@scalar/api-reference": "1.46.4", graphiql: "3.0.10", react: "18.3.1", "react-dom": "18.3.1" };
const vendor = new URL("../vendor/", import.meta.url).pathname;
const away = mkdtempSync(join(tmpdir(), "vendor-"));

/** Unpacks a package and returns where it lies. */
function unpacked(name) {
  const [file] = JSON.parse(execFileSync("npm", ["pack", "--json", `${name}@${VERSIONS[name]}`], { cwd: away, encoding: "utf8" }));
  const place = join(away, name.replace("/", "-"));
  mkdirSync(place);
  execFileSync("tar", ["xzf", file.filename, "-C", place], { cwd: away });
  return join(place, "package");
}

function keep(name, text) {
  const bytes = packed(text);
  writeFileSync(join(vendor, `${name}.gz`), bytes);
  console.log(`${name}  ${bytes.length} bytes packed`);
}

mkdirSync(join(vendor, "licences"), { recursive: true });

const scalar = unpacked("@scalar/api-reference");
// It tries whether it may make code of text. It may not, and browsers tell of the attempt as an error.
const ATTEMPT = 'try{return new Function(""),!0}catch(e){return!1}';
const reference = readFileSync(join(scalar, "dist/browser/standalone.js"), "utf8");
if (!reference.includes(ATTEMPT)) throw new Error("the attempt is written in another way: look for `new Function`");
keep(`scalar-${VERSIONS["@scalar/api-reference"]}.js`, reference.replace(ATTEMPT, "return!1"));

const react = unpacked("react");
const dom = unpacked("react-dom");
const both = [join(react, "umd/react.production.min.js"), join(dom, "umd/react-dom.production.min.js")];
keep(`react-${VERSIONS.react}.js`, both.map((path) => readFileSync(path, "utf8")).join("\n"));
copyFileSync(join(react, "LICENSE"), join(vendor, "licences/react"));

// What npm calls minified is not. The fonts in its style are large, and the system has its own.
const graphiql = unpacked("graphiql");
const script = minifySync("graphiql.js", readFileSync(join(graphiql, "graphiql.min.js"), "utf8")).code;
keep(`graphiql-${VERSIONS.graphiql}.js`, script);
const style = readFileSync(join(graphiql, "graphiql.min.css"), "utf8").replace(/@font-face\s*\{[^}]*\}/g, "");
keep(`graphiql-${VERSIONS.graphiql}.css`, style);
copyFileSync(join(graphiql, "LICENSE"), join(vendor, "licences/graphiql"));

rmSync(away, { recursive: true });
