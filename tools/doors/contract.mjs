// Proves the contract of the HTTP API: answers match the description (schemathesis), clients from standard generators
// work, and clients that follow changes lose nothing when they are disconnected.
//
// `node contract.mjs --binary PATH --python PATH [--only PART] [--cuts 100] [--seed 1]`
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { described } from "./contract/described.mjs";
import { resume } from "./contract/resume.mjs";
import { tours } from "./contract/tours.mjs";
import { Faults, options, prove } from "./lib/figures.mjs";
import { withNode } from "./lib/node.mjs";

const settings = options({
  python: { type: "string", default: "python3" },
  only: { type: "string" },
  cuts: { type: "string", default: "100" },
  seed: { type: "string", default: "1" },
});

const PARTS = {
  described: (node, faults, description) => described(node, settings.python, description, Number(settings.seed)),
  tours: (node, faults, description) => tours(node, settings.python, description),
  resume: (node, faults) => resume(node, faults, { cuts: Number(settings.cuts), seed: Number(settings.seed) }),
};

await prove(async () => {
  const faults = new Faults();
  for (const [name, part] of Object.entries(PARTS)) {
    if (settings.only && settings.only !== name) continue;
    await withNode(settings.binary, async (node) => {
      const description = join(node.folder, "openapi.json");
      writeFileSync(description, JSON.stringify(await node.api("GET", "openapi.json")));
      await part(node, faults, description);
    });
  }
});
