/** Tokens of programs, and sessions. */

import { useState } from "preact/hooks";
import { send } from "../api/http";
import { tokens } from "../api/routes";
import type { NewToken, Only, Token } from "../api/types";
import { moment } from "../format";
import { useAction, useAnswer } from "../hooks";
import { Copy, Curl } from "../ui/copy";
import { Ask, Field, TextField } from "../ui/form";
import { Icon } from "../ui/icons";
import { Empty, Trouble } from "../ui/notice";
import { Page } from "../ui/page";
import { Table } from "../ui/table";

const DAY_MS = 86_400_000;

export function Tokens() {
  const request = tokens.list();
  const { data, problem, reload } = useAnswer(request);
  const [asking, setAsking] = useState(false);
  const [revoking, setRevoking] = useState<string>();
  const action = useAction();
  const revoke = () =>
    action.run(async () => {
      await send(tokens.revoke(revoking ?? ""));
      setRevoking(undefined);
      await reload();
    }, "Revoked");
  const all = data?.tokens;
  return (
    <Page
      title="Tokens"
      actions={
        <>
          <Curl request={request} />
          <button type="button" class="primary" onClick={() => setAsking(true)}>
            <Icon name="plus" /> New token
          </button>
        </>
      }
    >
      <Trouble problem={problem} />
      {all?.length === 0 && <Empty title="No tokens yet">{<p>Make one for each program that should use the API.</p>}</Empty>}
      {all && all.length > 0 && (
        <Table
          label="Tokens and sessions"
          head={
            <>
              <th scope="col">Name</th>
              <th scope="col">Kind</th>
              <th scope="col">For</th>
              <th scope="col">Reaches</th>
              <th scope="col">Made</th>
              <th scope="col">Ends</th>
              <th scope="col">
                <span class="hidden">What can be done</span>
              </th>
            </>
          }
        >
          {all.map((token) => (
            <Row key={token.name} token={token} onRevoke={() => setRevoking(token.name)} />
          ))}
        </Table>
      )}
      {asking && <Make onClose={() => setAsking(false)} onDone={reload} />}
      <Ask open={revoking !== undefined} title={`Revoke ${revoking ?? ""}?`} action="Revoke" danger busy={action.busy} onAction={() => void revoke()} onClose={() => setRevoking(undefined)}>
        <p>It lets nobody in any more, from now on.</p>
        <Trouble problem={action.problem} />
      </Ask>
    </Page>
  );
}

function Row({ token: { name, session, readOnly, account, only, createdAt, expiresAt }, onRevoke }: { token: Token; onRevoke(): void }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>
        <span class="tag">{session ? "session" : "token"}</span>
      </td>
      <td>{account ?? <span class="faint">an owner</span>}</td>
      <td>{reach(only, readOnly)}</td>
      <td>{moment(createdAt)}</td>
      <td>{expiresAt ? moment(expiresAt) : <span class="faint">never</span>}</td>
      <td>
        <button type="button" class="link bad" aria-label={`Revoke ${name}`} onClick={onRevoke}>
          Revoke
        </button>
      </td>
    </tr>
  );
}

function reach(only: Only[], readOnly: boolean): string {
  const parts = only.map(({ space, collection, readOnly }) => `${space ?? "any space"}/${collection ?? "*"}${readOnly ? " (reads)" : ""}`);
  const what = parts.join(", ") || "everything";
  return readOnly ? `${what}, reads only` : what;
}

function Make({ onClose, onDone }: { onClose(): void; onDone(): Promise<void> }) {
  const [name, setName] = useState("");
  const [account, setAccount] = useState("");
  const [days, setDays] = useState("");
  const [collection, setCollection] = useState("");
  const [readOnly, setReadOnly] = useState(false);
  const [secret, setSecret] = useState<string>();
  const { busy, problem, run } = useAction();
  const body: NewToken = {
    name,
    readOnly,
    account: account || undefined,
    expiresMs: days ? Number(days) * DAY_MS : undefined,
    only: collection ? [{ collection, readOnly }] : [],
  };
  const make = () =>
    run(async () => {
      setSecret((await send(tokens.create(body))).data.secret);
      await onDone();
    });
  if (secret) {
    return (
      <Ask open title={`The token ${name}`} onClose={onClose}>
        <p>Copy it now: it is shown once and never again.</p>
        <pre class="code" tabIndex={0}>
          {secret}
        </pre>
        <p>
          <Copy text={secret} label="Copy the token" /> Copy
        </p>
      </Ask>
    );
  }
  return (
    <Ask open title="New token" action="Make it" busy={busy} onAction={() => void make()} onClose={onClose}>
      <TextField label="Name" value={name} onText={setName} maxLength={64} required />
      <div class="grid">
        <TextField label="For the account" value={account} onText={setAccount} placeholder="an owner" />
        <TextField label="Ends after days" type="number" min={1} max={36500} value={days} onText={setDays} placeholder="never" />
      </div>
      <TextField label="Reaches only the collection" value={collection} onText={setCollection} placeholder="every one" />
      <Field label="What it may do">
        {(tied) => (
          <select {...tied} value={readOnly ? "read" : "write"} onChange={(event) => setReadOnly(event.currentTarget.value === "read")}>
            <option value="write">what the account may</option>
            <option value="read">read only</option>
          </select>
        )}
      </Field>
      <Trouble problem={problem} />
    </Ask>
  );
}
