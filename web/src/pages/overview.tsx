/** How the node is: what it holds, whom it talks to, what is behind and why. */

import { node } from "../api/routes";
import type { Peer, Space, Status } from "../api/types";
import { bytes, count, counted, duration } from "../format";
import { href } from "../route";
import { Curl } from "../ui/copy";
import { Note, Trouble } from "../ui/notice";
import { Page } from "../ui/page";
import { Plot } from "../ui/plot";
import { Facts } from "../ui/table";
import { useStatus, type Sample } from "./status";

export function Overview() {
  const { status, problem, samples } = useStatus();
  return (
    <Page title={status?.name ?? "Overview"} aside={status && `CosmicSync ${status.version}`} actions={<Curl request={node.status()} />}>
      <Trouble problem={problem} />
      {status && (
        <>
          <Health status={status} />
          <Numbers status={status} />
          <Plots samples={samples} />
        </>
      )}
    </Page>
  );
}

function Health({ status }: { status: Status }) {
  const troubles = reasons(status);
  const moving = underWay(status);
  if (troubles.length === 0 && moving.length > 0) {
    return (
      <Note>
        Catching up. {moving.join(" ")}
      </Note>
    );
  }
  if (troubles.length === 0) {
    const connected = status.peers.filter(({ state }) => state === "connected").length;
    return <Note kind="good">All is well. {connected > 0 ? `In step with ${counted(connected, "peer")}.` : "No peer is connected; edits wait here."}</Note>;
  }
  return (
    <Note kind="warn">
      <p>
        <strong>Needs a look</strong>
      </p>
      <ul>
        {troubles.map((trouble) => (
          <li key={trouble}>{trouble}</li>
        ))}
      </ul>
    </Note>
  );
}

/** What is not as it should be, and why. */
function reasons({ store, spaces, peers, paused }: Status): string[] {
  const found: string[] = [];
  if (store.error) found.push(`The store takes no requests: ${store.error}.`);
  if (store.bytes > 0.9 * store.bytes_max) found.push(`The store has ${bytes(store.bytes)} of at most ${bytes(store.bytes_max)}.`);
  if (paused) found.push("Links are paused: cosmicsync peer resume.");
  const isAlone = peers.every(({ state }) => state !== "connected");
  if (isAlone) found.push(...spaces.flatMap(missing));
  found.push(...peers.filter(({ state }) => state !== "connected").flatMap(lag));
  return found;
}

/** What is behind and on its way. */
function underWay({ spaces, peers }: Status): string[] {
  const connected = peers.filter(({ state }) => state === "connected");
  return connected.length > 0 ? [...spaces.flatMap(missing), ...connected.flatMap(lag)] : [];
}

function missing({ name, missing }: Space): string[] {
  return missing > 0 ? [`${name}: ${counted(missing, "entry", "entries")} are known and not here yet.`] : [];
}

function lag({ address, state, behind, ahead, error }: Peer): string[] {
  const found: string[] = [];
  const why = error ? ` (${error})` : "";
  if (behind > 0) found.push(`${address} lacks ${counted(behind, "entry", "entries")} of ours: it is ${state}${why}.`);
  if (ahead > 0) found.push(`${address} has ${counted(ahead, "entry", "entries")} that are not here: it is ${state}${why}.`);
  if (found.length === 0 && error && state !== "connected") found.push(`${address} is ${state}: ${error}.`);
  return found;
}

function Numbers({ status: { device, listen, uptime_ms, store, spaces, peers } }: { status: Status }) {
  const documents = spaces.reduce((sum, space) => sum + space.documents, 0);
  const connected = peers.filter(({ state }) => state === "connected").length;
  return (
    <section class="card" aria-label="Numbers">
      <Facts
        facts={[
          ["Documents", <a href={href(["collections"])}>{count(documents)}</a>],
          ["Spaces", <a href={href(["spaces"])}>{spaces.map(({ name }) => name).join(", ") || "none yet"}</a>],
          ["Peers connected", <a href={href(["peers"])}>{`${connected} of ${peers.length}`}</a>],
          ["Store", `${bytes(store.bytes)} of ${bytes(store.bytes_max)}`],
          ["Entries", `${count(store.entries)} in ${counted(store.logs, "log")}`],
          ["Running for", duration(uptime_ms)],
          ["Listens on", listen ?? "nothing"],
          ["Device", <code title={device}>{device.slice(0, 12)}</code>],
        ]}
      />
    </section>
  );
}

function Plots({ samples }: { samples: Sample[] }) {
  const times = samples.map(({ at }) => at);
  const rate = samples.map(({ at, entries }, index) => {
    const before = samples[index - 1];
    return before ? Math.max(0, (entries - before.entries) / (at - before.at)) : null;
  });
  return (
    <div class="plots">
      <Plot title="Entries a second" times={times} series={[{ label: "entries/s", values: rate }]} />
      <Plot
        title="Behind"
        times={times}
        series={[
          { label: "peers lack", values: samples.map(({ behind }) => behind) },
          { label: "we lack", values: samples.map(({ ahead }) => ahead) },
        ]}
      />
      <Plot title="Documents" times={times} series={[{ label: "documents", values: samples.map(({ documents }) => documents) }]} />
      <Plot title="Store, MiB" times={times} series={[{ label: "MiB", values: samples.map(({ bytes }) => bytes / 2 ** 20) }]} />
    </div>
  );
}
