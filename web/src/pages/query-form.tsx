/** A query: which documents, in what order, what of them; how it is answered, and the answer. */

import { useState } from "preact/hooks";
import { send } from "../api/http";
import { objectMistake, readJson, shown, writeJson } from "../api/json";
import { collection } from "../api/routes";
import type { Counted, Page, Plan, Query } from "../api/types";
import { count, counted } from "../format";
import { useAction } from "../hooks";
import { refine, useRoute } from "../route";
import { Curl } from "../ui/copy";
import { CodeField, TextField } from "../ui/form";
import { Empty, Note, Trouble } from "../ui/notice";
import { Table } from "../ui/table";
import { DocumentTable } from "./document-table";
import { PlanCard } from "./plan";

export interface Asked {
  selector: string;
  sort: string;
  fields: string;
  limit: string;
}

/** The query that a form says, as the API takes it. */
export function queryOf({ selector, sort, fields, limit }: Asked): Query {
  return {
    selector: selector.trim() ? readJson(selector) : undefined,
    sort: listed(sort),
    fields: listed(fields),
    limit: limit ? Number(limit) : undefined,
  };
}

function listed(text: string): string[] | undefined {
  const all = text.split(",").map((one) => one.trim()).filter(Boolean);
  return all.length > 0 ? all : undefined;
}

/** The inputs of a query. Keeps them in the address, so that it can be shared. */
export function useAsked(): [Asked, (next: Partial<Asked>) => void] {
  const { query } = useRoute();
  const asked = { selector: query["q"] ?? "{}", sort: query["sort"] ?? "", fields: query["fields"] ?? "", limit: query["limit"] ?? "100" };
  const set = (next: Partial<Asked>) => {
    const { selector, ...rest } = next;
    refine({ ...rest, ...(selector !== undefined && { q: selector }) });
  };
  return [asked, set];
}

export function QueryInputs({ asked, set, mistake }: { asked: Asked; set(next: Partial<Asked>): void; mistake?: string }) {
  return (
    <>
      <CodeField label="Selector" value={asked.selector} rows={5} error={mistake} onText={(selector) => set({ selector })} />
      <div class="grid">
        <TextField label="Sort" value={asked.sort} placeholder="state, -pop" class="mono" onText={(sort) => set({ sort })} />
        <TextField label="Fields" value={asked.fields} placeholder="all" class="mono" onText={(fields) => set({ fields })} />
        <TextField label="Limit" value={asked.limit} type="number" min={1} max={1000} onText={(limit) => set({ limit })} />
      </div>
    </>
  );
}

interface Result {
  page?: Page;
  plan?: Plan;
  counted?: Counted;
  ms: number;
}

export function QueryForm({ space, name }: { space: string; name: string }) {
  const api = collection(space, name);
  const [asked, set] = useAsked();
  const [result, setResult] = useState<Result>();
  const [asJson, setAsJson] = useState(false);
  const [by, setBy] = useState("");
  const { busy, problem, run, clear } = useAction();
  const mistake = asked.selector.trim() ? objectMistake(asked.selector) : undefined;
  const query = mistake ? undefined : queryOf(asked);
  const timed = (action: () => Promise<Omit<Result, "ms">>) =>
    run(async () => {
      const begun = performance.now();
      const result = await action();
      setResult({ ...result, ms: performance.now() - begun });
    });
  const find = (bookmark?: string) => timed(async () => ({ page: (await send(api.find({ ...query, bookmark }))).data }));
  const explain = () => timed(async () => ({ plan: (await send(api.explain({ ...query }))).data }));
  const counting = api.count({ selector: query?.selector, by: by.trim() || undefined });
  const total = () => timed(async () => ({ counted: (await send(counting)).data }));
  return (
    <>
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          if (query) void find();
        }}
      >
        <QueryInputs
          asked={asked}
          set={(next) => {
            set(next);
            clear();
          }}
          mistake={mistake}
        />
        <Trouble problem={problem} />
        <div class="row">
          <button type="submit" class="primary" disabled={busy || !query}>
            Run
          </button>
          <button type="button" disabled={busy || !query} onClick={() => void explain()}>
            Explain
          </button>
          <Curl request={query && api.find(query)} />
          <span class="row push">
            <button type="button" disabled={busy || !query} onClick={() => void total()}>
              Count
            </button>
            <label class="check">
              by <input class="by mono" type="text" spellcheck={false} placeholder="no field" value={by} onInput={(event) => setBy(event.currentTarget.value)} />
            </label>
            <Curl request={query && counting} />
          </span>
        </div>
      </form>
      {result && !problem && <Found {...{ name, asked, result, asJson, setAsJson }} onNext={(bookmark) => void find(bookmark)} />}
    </>
  );
}

interface FoundProps {
  name: string;
  asked: Asked;
  result: Result;
  asJson: boolean;
  setAsJson(asJson: boolean): void;
  onNext(bookmark: string): void;
}

function Found({ name, asked, result: { page, plan, counted: total, ms }, asJson, setAsJson, onNext }: FoundProps) {
  const took = `in ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (plan) return <PlanCard plan={plan} />;
  if (total) return <Count total={total} took={took} />;
  if (!page) return null;
  if (page.docs.length === 0) return <Empty title="No document matches">{<p>Loosen the selector, or run {"{}"} to see what is there.</p>}</Empty>;
  return (
    <section aria-label="Results">
      {page.warning === "no_index" && <Note kind="warn">No index helps: every document was looked at. Explain says more.</Note>}
      <div class="foot">
        <p role="status">
          {counted(page.docs.length, "document")} {took}
        </p>
        <label class="check">
          <input type="checkbox" checked={asJson} onChange={(event) => setAsJson(event.currentTarget.checked)} /> As JSON
        </label>
        {page.bookmark && (
          <button type="button" class="push" onClick={() => page.bookmark && onNext(page.bookmark)}>
            Next page
          </button>
        )}
      </div>
      {asJson ? (
        <pre class="code tall" tabIndex={0} aria-label="Results as JSON">
          {page.docs.map((doc) => writeJson(doc as never)).join("\n")}
        </pre>
      ) : (
        <DocumentTable name={name} docs={page.docs} fields={listed(asked.fields)} />
      )}
    </section>
  );
}

function Count({ total, took }: { total: Counted; took: string }) {
  if (!total.groups) {
    return (
      <p role="status" class="card">
        <strong>{counted(total.count ?? 0, "document")}</strong> counted {took}
      </p>
    );
  }
  return (
    <section aria-label="Groups">
      <p class="foot" role="status">
        {counted(total.groups.length, "group")} {took}
      </p>
      <Table
        label="Groups"
        head={
          <>
            <th scope="col">Value</th>
            <th scope="col" class="number">
              Documents
            </th>
          </>
        }
      >
        {total.groups.map(({ value, count: documents }) => (
          <tr key={writeJson(value)}>
            <th scope="row">{value === undefined ? <span class="faint">missing</span> : shown(value)}</th>
            <td class="number">{count(documents)}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
