// Proves the speed of the HTTP API: mixed load on a node for ten minutes, a thousand idle WebSockets, and the same
// operations compared with PocketBase and express-pouchdb.
//
// `node fast.mjs --binary PATH --python PATH [--seconds 600] [--only mixed|idle|beside]`
import { beside } from "./fast/beside.mjs";
import { idle } from "./fast/idle.mjs";
import { fill, mixed } from "./fast/mixed.mjs";
import { Faults, options, prove } from "./lib/figures.mjs";
import { withNode } from "./lib/node.mjs";

const settings = options({
  python: { type: "string", default: "python3" },
  seconds: { type: "string", default: "600" },
  only: { type: "string" },
});
const DOCUMENTS = 20_000;
/** Time for each server of the comparison, in seconds. */
const BESIDE_SECONDS = 30;
/** Limits for a thousand idle connections and WebSockets. */
const environment = { COSMICSYNC_HTTP__CONNECTIONS_MAX: "2048", COSMICSYNC_HTTP__SOCKETS_MAX: "1024" };

await prove(async () => {
  const faults = new Faults();
  const seconds = Number(settings.seconds);
  const wanted = (part) => !settings.only || settings.only === part;
  await withNode(
    settings.binary,
    async (node) => {
      if (wanted("mixed")) {
        await fill(node, DOCUMENTS);
        await mixed(node, faults, { seconds, documents: DOCUMENTS });
      }
      if (wanted("idle")) await idle(node, faults);
    },
    { environment },
  );
  if (!wanted("beside")) return;
  const more = { python: settings.python, seconds: Math.min(BESIDE_SECONDS, seconds) };
  await withNode(settings.binary, (node) => beside(node, faults, more), { environment });
});
