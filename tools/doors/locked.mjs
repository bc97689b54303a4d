// Proves that the HTTP API is locked: every operation admits exactly the roles in the policy, in every state of the
// token, and no answer contains anything forbidden.
//
// `node locked.mjs --binary PATH [--only sockets|table|canaries]`
import { Faults, figure, options, prove } from "./lib/figures.mjs";
import { withNode } from "./lib/node.mjs";
import { canaries, control } from "./locked/canary.mjs";
import { sockets } from "./locked/sockets.mjs";
import { table } from "./locked/table.mjs";

const settings = options({ only: { type: "string" } });

await prove(async () => {
  const faults = new Faults();
  const wanted = (part) => !settings.only || settings.only === part;
  if (wanted("sockets")) {
    const cells = await withNode(settings.binary, (node) => sockets(node, faults));
    figure("WebSockets that end in another way than the policy says", faults.count("sockets"), cells);
  }
  if (wanted("table")) {
    const cells = await withNode(settings.binary, (node) => table(node, faults));
    figure("operations that the policy does not say, or that are not described", faults.count("policy"), cells);
    figure("answers to a role and a token with another status than the policy says", faults.count("codes"), cells);
  }
  if (wanted("canaries")) {
    const bodies = await withNode(settings.binary, (node) => canaries(node, faults));
    figure("answers with something that is forbidden", faults.count("leaks"), bodies);
    figure("answers that tell what is hidden from what is not there", faults.count("told"), bodies);
    const shown = await withNode(settings.binary, (node) => control(node, faults));
    figure("answers with the same that an owner is shown", shown);
    figure("streams in which an owner is not shown it", faults.count("control"), shown);
  }
});
