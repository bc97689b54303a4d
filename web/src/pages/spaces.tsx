/** The spaces of the node, and a new one. */

import { useState } from "preact/hooks";
import { send } from "../api/http";
import { node } from "../api/routes";
import type { Space } from "../api/types";
import { count } from "../format";
import { loadSpaces, useAction, useAnswer } from "../hooks";
import { href } from "../route";
import { Copy, Curl } from "../ui/copy";
import { Ask, TextField } from "../ui/form";
import { Icon } from "../ui/icons";
import { Empty, Trouble } from "../ui/notice";
import { Page } from "../ui/page";
import { Table } from "../ui/table";
import { Devices, Invite } from "./invite";

export function Spaces() {
  const request = node.spaces();
  const { data, problem, reload } = useAnswer(request);
  const [asking, setAsking] = useState(false);
  const [name, setName] = useState("");
  const [inviting, setInviting] = useState<Space>();
  const [looking, setLooking] = useState<Space>();
  const [joining, setJoining] = useState(false);
  const [line, setLine] = useState("");
  const action = useAction();
  const make = () =>
    action.run(async () => {
      await send(node.createSpace(name));
      await Promise.all([reload(), loadSpaces()]);
      setAsking(false);
      setName("");
    }, "Made");
  const join = () =>
    action.run(async () => {
      await send(node.join(line.trim()));
      await Promise.all([reload(), loadSpaces()]);
      setJoining(false);
      setLine("");
    }, "Joined");
  const all = data?.spaces;
  return (
    <Page
      title="Spaces"
      actions={
        <>
          <Curl request={request} />
          <button type="button" onClick={() => setJoining(true)}>
            Join one
          </button>
          <button type="button" class="primary" onClick={() => setAsking(true)}>
            <Icon name="plus" /> New space
          </button>
        </>
      }
    >
      <Trouble problem={problem} />
      {all?.length === 0 && (
        <Empty title="No spaces yet">
          <p>A space holds documents that its devices share. Make one here, or join one of another device.</p>
        </Empty>
      )}
      {all && all.length > 0 && (
        <Table
          label="Spaces"
          head={
            <>
              <th scope="col">Name</th>
              <th scope="col" class="number">
                Documents
              </th>
              <th scope="col" class="number">
                Devices
              </th>
              <th scope="col" class="number">
                Still to come
              </th>
              <th scope="col">Id</th>
              <th scope="col">Let a device in</th>
            </>
          }
        >
          {all.map((space) => (
            <tr key={space.id}>
              <th scope="row">
                <a href={href(["collections"], { space: space.name })}>{space.name}</a>
              </th>
              <td class="number">{count(space.documents)}</td>
              <td class="number">
                <button type="button" class="link" aria-label={`${count(space.devices)} devices of ${space.name}`} onClick={() => setLooking(space)}>
                  {count(space.devices)}
                </button>
              </td>
              <td class="number">{count(space.missing)}</td>
              <td>
                <code title={space.id}>{space.id.slice(0, 12)}</code> <Copy text={space.id} label={`Copy the id of ${space.name}`} />
              </td>
              <td>
                <button type="button" aria-label={`Invite a device to ${space.name}`} onClick={() => setInviting(space)}>
                  Invite
                </button>
              </td>
            </tr>
          ))}
        </Table>
      )}
      <Invite space={inviting} onClose={() => setInviting(undefined)} />
      {looking && <Devices space={looking} onClose={() => setLooking(undefined)} />}
      <Ask open={joining} title="Join a space" action="Join" busy={action.busy} onAction={() => void join()} onClose={() => setJoining(false)}>
        <TextField label="Invite" hint="The line that the other device printed. Its node has to run." value={line} onText={setLine} required />
        <Trouble problem={action.problem} />
      </Ask>
      <Ask open={asking} title="New space" action="Make it" busy={action.busy} onAction={() => void make()} onClose={() => setAsking(false)}>
        <TextField label="Name" value={name} onText={setName} required />
        <Trouble problem={action.problem} />
      </Ask>
    </Page>
  );
}
