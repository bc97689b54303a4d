// Sends the requests that schemathesis generates for every operation of the node's description, valid and invalid,
// alone and in sequences; compares each answer with the description.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { figure, say } from "../lib/figures.mjs";

const HERE = new URL(".", import.meta.url).pathname;
/** Largest number of requests for each operation and phase. */
const EXAMPLES = 50;
const ROWS = "zip,city,pop\n00501,Holtsville,0\n01001,Agawam,15338\n01040,Holyoke,43704\n";

/** Creates the objects of the requests; returns the version of a document. */
async function fill(node) {
  const more = { headers: { "Content-Type": "text/csv" } };
  await node.api("POST", "spaces/-/collections/towns/import?id=zip", ROWS, more);
  await node.api("PUT", "spaces/-/collections/towns/indexes/by_city", { fields: ["city"] });
  await node.api("PUT", "spaces/-/collections/notes/docs/01001", { title: "Agawam", tags: ["sea"], visits: 1 });
  await node.api("PUT", "spaces/-/collections/notes/schema", { properties: { title: { type: "string" } } });
  await node.api("POST", "accounts", { name: "ada", role: "editor", password: "a long password" });
  const { entries } = await node.api("GET", "spaces/-/collections/notes/docs/01001/history");
  return entries[0].version;
}

function run(program, words, environment, cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: ["ignore", 2, 2], cwd, env: { ...process.env, ...environment } });
    child.on("error", reject);
    child.on("exit", (code) => resolve(code));
  });
}

export async function described(node, python, description, seed) {
  const version = await fill(node);
  say("schemathesis");
  const told = join(node.folder, "told.json");
  const program = join(python, "../schemathesis");
  const config = ["--config-file", join(HERE, "schemathesis.toml")];
  const words = ["run", description, "--url", node.url, "--seed", String(seed), "--max-examples", String(EXAMPLES)];
  const report = ["--report", "json", "--report-json-path", told];
  const environment = { HOOKS: join(HERE, "hooks.py"), TOKEN: node.token, VERSION: version };
  const code = await run(program, [...config, ...words, ...report], environment, node.folder);
  const { operations, test_cases: cases } = JSON.parse(readFileSync(told, "utf8"));
  if (code !== 0 && cases.unique_failures === 0) throw new Error(`schemathesis ended with ${code}`);
  figure("described operations that schemathesis asked for", operations.tested, cases.generated);
  figure("findings of schemathesis", cases.unique_failures, cases.generated);
  if (!node.isUp) throw new Error("the node ended");
}
