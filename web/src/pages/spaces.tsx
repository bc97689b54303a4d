/** The spaces of the node, and a new one. */

import { useState } from "preact/hooks";
import { send } from "../api/http";
import { node } from "../api/routes";
import { count } from "../format";
import { loadSpaces, useAction, useAnswer } from "../hooks";
import { href } from "../route";
import { Copy, Curl } from "../ui/copy";
import { Ask, TextField } from "../ui/form";
import { Icon } from "../ui/icons";
import { Empty, Trouble } from "../ui/notice";
import { Page } from "../ui/page";
import { Table } from "../ui/table";

export function Spaces() {
  const request = node.spaces();
  const { data, problem, reload } = useAnswer(request);
  const [asking, setAsking] = useState(false);
  const [name, setName] = useState("");
  const action = useAction();
  const make = () =>
    action.run(async () => {
      await send(node.createSpace(name));
      await Promise.all([reload(), loadSpaces()]);
      setAsking(false);
      setName("");
    }, "Made");
  const all = data?.spaces;
  return (
    <Page
      title="Spaces"
      actions={
        <>
          <Curl request={request} />
          <button type="button" class="primary" onClick={() => setAsking(true)}>
            <Icon name="plus" /> New space
          </button>
        </>
      }
    >
      <Trouble problem={problem} />
      {all?.length === 0 && (
        <Empty title="No spaces yet">
          <p>A space holds documents that its devices share. Make one here, or join one of another device:</p>
          <pre class="code" tabIndex={0}>cosmicsync space join LINE</pre>
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
              <td class="number">{count(space.devices)}</td>
              <td class="number">{count(space.missing)}</td>
              <td>
                <code title={space.id}>{space.id.slice(0, 12)}</code> <Copy text={space.id} label={`Copy the id of ${space.name}`} />
              </td>
              <td>
                <code>cosmicsync space invite</code>
              </td>
            </tr>
          ))}
        </Table>
      )}
      <Ask open={asking} title="New space" action="Make it" busy={action.busy} onAction={() => void make()} onClose={() => setAsking(false)}>
        <TextField label="Name" value={name} onText={setName} required />
        <Trouble problem={action.problem} />
      </Ask>
    </Page>
  );
}
