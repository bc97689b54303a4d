// Runs the tour of the README with clients that standard generators make from the node's description:
// openapi-typescript with openapi-fetch, and openapi-generator's Python.
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { figure, say } from "../lib/figures.mjs";

const execute = promisify(execFile);
const HERE = new URL(".", import.meta.url).pathname;
const MODULES = new URL("../node_modules", import.meta.url).pathname;
const PATIENCE_MS = 300_000;

/** Runs a program and returns its output; on failure, throws an error with its output. */
async function output(program, words) {
  try {
    return (await execute(program, words, { timeout: PATIENCE_MS, maxBuffer: 1 << 26 })).stdout.trim();
  } catch (error) {
    throw new Error(`${program} ${words[0]}: ${error.stdout ?? ""}${error.stderr ?? error.message}`);
  }
}

export async function tours(node, python, description) {
  say("a typed client: openapi-typescript, openapi-fetch");
  const types = join(node.folder, "described.d.ts");
  // An object may have any members, and a member with a default may be left out.
  const flags = ["--empty-objects-unknown", "--default-non-nullable=false"];
  await output(join(MODULES, ".bin/openapi-typescript"), [description, ...flags, "-o", types]);
  const compilerOptions = {
    allowJs: true,
    checkJs: true,
    module: "nodenext",
    moduleResolution: "nodenext",
    noEmit: true,
    paths: { described: [types] },
    skipLibCheck: true,
    strict: true,
    target: "es2023",
    lib: ["es2023", "dom"],
    typeRoots: [join(MODULES, "@types")],
    types: ["node"],
  };
  const project = join(node.folder, "tsconfig.json");
  writeFileSync(project, JSON.stringify({ compilerOptions, files: [join(HERE, "tour.mjs")] }));
  await output(join(MODULES, ".bin/tsc"), ["-p", project]);
  const typed = Number(await output(process.execPath, [join(HERE, "tour.mjs"), node.url, node.token]));
  figure("steps of the tour by a client of openapi-typescript", typed, typed);

  say("a generated client: openapi-generator, Python");
  const client = join(node.folder, "client");
  const generator = join(python, "../openapi-generator-cli");
  const more = ["--additional-properties", "packageName=cosmicsync_client"];
  await output(generator, ["generate", "-g", "python", "-i", description, "-o", client, ...more]);
  const generated = Number(await output(python, [join(HERE, "tour.py"), client, node.url, node.token]));
  figure("steps of the tour by a client of openapi-generator", generated, generated);
}
