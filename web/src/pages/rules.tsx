/** The rules of a collection: who of the editors and viewers may do what with which documents, and a way to try that. */

import { useEffect, useState } from "preact/hooks";
import { send } from "../api/http";
import { objectMistake, readJson, writeJson } from "../api/json";
import { accounts, collection } from "../api/routes";
import { DEEDS, type Verdict } from "../api/types";
import { useAction, useAnswer } from "../hooks";
import { Curl } from "../ui/copy";
import { CodeField, Field, TextField } from "../ui/form";
import { Note, Trouble } from "../ui/notice";
import { Table } from "../ui/table";

const FIRST = `{
  "list": {},
  "view": {},
  "create": {"by": {"$var": "auth.account"}},
  "update": {"by": {"$var": "auth.account"}},
  "delete": null
}`;

interface Props {
  space: string;
  name: string;
}

export function Rules({ space, name }: Props) {
  const api = collection(space, name);
  const request = api.rules();
  const { data, problem, reload } = useAnswer(request);
  const [text, setText] = useState(FIRST);
  const action = useAction();
  const stands = data?.rules ? writeJson(data.rules, 2) : undefined;
  useEffect(() => {
    if (stands) setText(stands);
  }, [stands]);
  const mistake = rulesMistake(text);
  const save = () =>
    action.run(async () => {
      await send(api.putRules(text));
      await reload();
    }, "The rules stand");
  return (
    <>
      <Trouble problem={problem} />
      {data && !data.rules && <Note>This collection has no rules: owners and admins use it, and it is locked for editors and viewers. Try rules below before you set them.</Note>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!mistake) void save();
        }}
      >
        <CodeField
          label="Rules"
          value={text}
          rows={Math.min(24, Math.max(8, text.split("\n").length + 1))}
          error={mistake}
          hint={
            <>
              A selector for each of list, view, create, update and delete; without one, or with null, it is locked. <code>{'{"$var": "auth.account"}'}</code> stands for the account that asks.
            </>
          }
          onText={setText}
        />
        <Trouble problem={action.problem} />
        <div class="row">
          <button type="submit" class="primary" disabled={action.busy || Boolean(mistake)}>
            Set the rules
          </button>
          <Curl request={mistake ? undefined : api.putRules(text)} />
        </div>
      </form>
      <Tester space={space} name={name} rules={mistake ? undefined : text} />
    </>
  );
}

function rulesMistake(text: string): string | undefined {
  const mistake = objectMistake(text);
  if (mistake) return mistake;
  const unknown = Object.keys(readJson(text) as object).find((deed) => !(DEEDS as readonly string[]).includes(deed));
  return unknown && `There is no rule "${unknown}": the rules are ${DEEDS.join(", ")}`;
}

const WHY: Record<Verdict["why"], string> = {
  role: "its role",
  locked: "it is locked",
  rule: "the rule's selector",
  free: "rules do not bind its role",
};

function Tester({ space, name, rules }: Props & { rules?: string }) {
  const api = collection(space, name);
  const known = useAnswer(accounts.list());
  const [account, setAccount] = useState("");
  const [key, setKey] = useState("");
  const [value, setValue] = useState("{}");
  const [verdicts, setVerdicts] = useState<Verdict[]>();
  const { busy, problem, run } = useAction();
  const names = known.data?.accounts.map(({ name }) => name) ?? [];
  const who = account || names[0] || "";
  const mistake = key ? undefined : objectMistake(value);
  const body = () => ({ account: who, ...(key ? { key } : { value: readJson(value) }), ...(rules && { rules: readJson(rules) }) });
  const test = () => run(async () => setVerdicts((await send(api.testRules(body()))).data.verdicts));
  return (
    <form
      class="card report"
      onSubmit={(event) => {
        event.preventDefault();
        void test();
      }}
    >
      <h2>Try the rules above</h2>
      {known.data && names.length === 0 ? (
        <p class="faint">Make an account first: rules are tried as somebody.</p>
      ) : (
        <>
          <div class="grid">
            <Field label="As the account">
              {(tied) => (
                <select {...tied} value={who} onChange={(event) => setAccount(event.currentTarget.value)}>
                  {names.map((one) => (
                    <option key={one}>{one}</option>
                  ))}
                </select>
              )}
            </Field>
            <TextField label="With the document" value={key} onText={setKey} placeholder="its key, or nothing" class="mono" />
          </div>
          {!key && <CodeField label="Or with this value" value={value} rows={4} error={mistake} onText={setValue} />}
          <Trouble problem={problem} />
          <div class="row">
            <button type="submit" disabled={busy || !who || Boolean(mistake)}>
              Try
            </button>
            <Curl request={who && !mistake ? api.testRules(body()) : undefined} />
          </div>
        </>
      )}
      {verdicts && (
        <div class="report" role="status">
          <Table
            label="What the account may do"
            head={
              <>
                <th scope="col">Deed</th>
                <th scope="col">Allowed</th>
                <th scope="col">By</th>
              </>
            }
          >
            {verdicts.map(({ deed, allowed, why }) => (
              <tr key={deed}>
                <th scope="row">{deed}</th>
                <td>{allowed ? <span class="tag tag-good">yes</span> : <span class="tag tag-bad">no</span>}</td>
                <td>{WHY[why] ?? why}</td>
              </tr>
            ))}
          </Table>
        </div>
      )}
    </form>
  );
}
