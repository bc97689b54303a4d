/** Who may use the node, and as what. */

import { useState } from "preact/hooks";
import { send } from "../api/http";
import { accounts } from "../api/routes";
import { ROLES, type Account, type Role } from "../api/types";
import { moment } from "../format";
import { useAction, useAnswer } from "../hooks";
import { Curl } from "../ui/copy";
import { Ask, Field, TextField } from "../ui/form";
import { Icon } from "../ui/icons";
import { Empty, Trouble } from "../ui/notice";
import { Page } from "../ui/page";
import { Table } from "../ui/table";

const MEANING: Record<Role, string> = {
  owner: "Everything",
  admin: "Everything but what concerns owners",
  editor: "Reads and writes documents, where rules let it",
  viewer: "Reads documents, where rules let it",
  auditor: "Reads how the node is, its accounts and the audit log, and no document",
};

export function Accounts() {
  const request = accounts.list();
  const { data, problem, reload } = useAnswer(request);
  const [editing, setEditing] = useState<Account | "new">();
  const [removing, setRemoving] = useState<string>();
  const action = useAction();
  const remove = () =>
    action.run(async () => {
      await send(accounts.remove(removing ?? ""));
      setRemoving(undefined);
      await reload();
    }, "Removed");
  const all = data?.accounts;
  return (
    <Page
      title="Accounts"
      actions={
        <>
          <Curl request={request} />
          <button type="button" class="primary" onClick={() => setEditing("new")}>
            <Icon name="plus" /> New account
          </button>
        </>
      }
    >
      <Trouble problem={problem} />
      {all?.length === 0 && (
        <Empty title="No accounts yet">
          <p>Tokens of the command line act as an owner. Make an account for each person who should sign in with a password.</p>
        </Empty>
      )}
      {all && all.length > 0 && (
        <Table
          label="Accounts"
          head={
            <>
              <th scope="col">Name</th>
              <th scope="col">Role</th>
              <th scope="col">May</th>
              <th scope="col">Password</th>
              <th scope="col">Made</th>
              <th scope="col">
                <span class="hidden">What can be done</span>
              </th>
            </>
          }
        >
          {all.map((account) => (
            <tr key={account.name}>
              <th scope="row">{account.name}</th>
              <td>
                <span class="tag">{account.role}</span>
              </td>
              <td class="faint">{MEANING[account.role]}</td>
              <td>{account.password ? "set" : <span class="faint">none</span>}</td>
              <td>{moment(account.createdAt)}</td>
              <td>
                <div class="row tight">
                  <button type="button" class="link" aria-label={`Change ${account.name}`} onClick={() => setEditing(account)}>
                    Change
                  </button>
                  <button type="button" class="link bad" aria-label={`Remove ${account.name}`} onClick={() => setRemoving(account.name)}>
                    Remove
                  </button>
                </div>
              </td>
            </tr>
          ))}
        </Table>
      )}
      {editing && <Edit account={editing} onClose={() => setEditing(undefined)} onDone={reload} />}
      <Ask open={removing !== undefined} title={`Remove ${removing ?? ""}?`} action="Remove" danger busy={action.busy} onAction={() => void remove()} onClose={() => setRemoving(undefined)}>
        <p>Its tokens and sessions end at once.</p>
        <Trouble problem={action.problem} />
      </Ask>
    </Page>
  );
}

function Edit({ account, onClose, onDone }: { account: Account | "new"; onClose(): void; onDone(): Promise<void> }) {
  const isNew = account === "new";
  const [name, setName] = useState(isNew ? "" : account.name);
  const [role, setRole] = useState<Role>(isNew ? "editor" : account.role);
  const [password, setPassword] = useState("");
  const { busy, problem, run } = useAction();
  const save = () =>
    run(async () => {
      const body = { role, password: password || undefined };
      await send(isNew ? accounts.create({ name, ...body }) : accounts.change(name, body));
      await onDone();
      onClose();
    }, isNew ? "Made" : "Changed");
  return (
    <Ask open title={isNew ? "New account" : `Change ${name}`} action={isNew ? "Make it" : "Change it"} busy={busy} onAction={() => void save()} onClose={onClose}>
      {isNew && <TextField label="Name" value={name} onText={setName} maxLength={64} autocomplete="off" required />}
      <Field label="Role" hint={MEANING[role]}>
        {(tied) => (
          <select {...tied} value={role} onChange={(event) => setRole(event.currentTarget.value as Role)}>
            {ROLES.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        )}
      </Field>
      <TextField
        label={isNew ? "Password" : "New password"}
        type="password"
        autocomplete="new-password"
        value={password}
        onText={setPassword}
        hint={isNew ? "At least 8 characters. Without one only tokens are made for it." : "Leave it empty to keep the old one. With a new one its sessions end."}
      />
      <Trouble problem={problem} />
    </Ask>
  );
}
