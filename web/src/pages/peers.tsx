/** Whom the node talks to. */

import { node } from "../api/routes";
import type { Peer } from "../api/types";
import { count, moment } from "../format";
import { Curl } from "../ui/copy";
import { Empty, Note, Trouble } from "../ui/notice";
import { Page } from "../ui/page";
import { Table } from "../ui/table";
import { useStatus } from "./status";

export function Peers() {
  const { status, problem } = useStatus();
  return (
    <Page title="Peers" aside={status && `this node listens on ${status.listen ?? "nothing"}`} actions={<Curl request={node.peers()} />}>
      <Trouble problem={problem} />
      {status?.paused && (
        <Note kind="warn">
          Links are paused. Next: <code>cosmicsync peer resume</code>
        </Note>
      )}
      {status?.peers.length === 0 && (
        <Empty title="No peers yet">
          <p>Let another device in, or dial one that is in the space already:</p>
          <pre class="code" tabIndex={0}>
            cosmicsync space invite{"\n"}cosmicsync peer add ADDRESS:PORT
          </pre>
        </Empty>
      )}
      {status && status.peers.length > 0 && (
        <Table
          label="Peers"
          head={
            <>
              <th scope="col">Address</th>
              <th scope="col">State</th>
              <th scope="col" class="number">
                It lacks
              </th>
              <th scope="col" class="number">
                We lack
              </th>
              <th scope="col">Heard</th>
              <th scope="col">Device</th>
              <th scope="col">Why it ended</th>
            </>
          }
        >
          {status.peers.map((peer) => (
            <Row key={`${peer.address}/${peer.device ?? ""}`} peer={peer} />
          ))}
        </Table>
      )}
    </Page>
  );
}

function Row({ peer: { address, dialled, state, behind, ahead, seen_at, device, error } }: { peer: Peer }) {
  return (
    <tr>
      <th scope="row">
        {address} <span class="faint">{dialled ? "dialled" : "came in"}</span>
      </th>
      <td>
        <span class="state">
          <span class={`dot dot-${state}`} aria-hidden="true" />
          {state}
        </span>
      </td>
      <td class="number">{count(behind)}</td>
      <td class="number">{count(ahead)}</td>
      <td>{seen_at ? moment(seen_at) : "never"}</td>
      <td>
        <code title={device ?? undefined}>{device?.slice(0, 12) ?? "–"}</code>
      </td>
      <td class="wrap">{error ?? <span class="faint">–</span>}</td>
    </tr>
  );
}
