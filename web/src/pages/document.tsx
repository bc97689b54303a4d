/** A document: edit it, see what was done to it, and what does not show in it. */

import { useEffect, useState } from "preact/hooks";
import { Problem, send } from "../api/http";
import { objectMistake, pretty } from "../api/json";
import { document as routes, nameOf } from "../api/routes";
import type { FeedChange } from "../api/types";
import { brief } from "../format";
import { useAction, useAnswer, useFollow } from "../hooks";
import { go, href } from "../route";
import { Copy, Curl } from "../ui/copy";
import { Ask, CodeField } from "../ui/form";
import { Note, Trouble } from "../ui/notice";
import { Page, Tabs } from "../ui/page";
import { Conflicts } from "./conflicts";
import { Changes } from "./changes";
import { History } from "./history";

interface Props {
  space: string;
  name: string;
  /** The document's key, or `~` and its id. */
  doc: string;
  tab: string;
}

const TABS = [
  { id: "edit", label: "Document" },
  { id: "history", label: "History" },
  { id: "conflicts", label: "Concurrent values" },
];

export function DocumentPage({ space, name, doc, tab }: Props) {
  const at = ["collections", name, "docs", doc];
  const tabs = TABS.map(({ id, label }) => ({ id, label, href: href(id === "edit" ? at : [...at, id]) }));
  const crumbs = [
    { label: "Collections", href: href(["collections"]) },
    { label: name, href: href(["collections", name]) },
  ];
  const place = { space, name, doc };
  return (
    <Page title={doc.startsWith("~") ? brief(doc.slice(1)) : doc} crumbs={crumbs}>
      <Tabs tabs={tabs} current={tab} label="Parts of the document" />
      {tab === "edit" && <Edit {...place} />}
      {tab === "history" && <History {...place} />}
      {tab === "conflicts" && <Conflicts {...place} />}
    </Page>
  );
}

/** What the editor began with. */
interface Base {
  text: string;
  version: string;
  id: string;
}

const tag = (headers: Headers): string => (headers.get("etag") ?? "").replaceAll('"', "");

function Edit({ space, name, doc }: Omit<Props, "tab">) {
  const api = routes(space, name, doc);
  const found = useAnswer(api.read());
  const [base, setBase] = useState<Base>();
  const [text, setText] = useState("");
  const [theirs, setTheirs] = useState<string>();
  const [leaving, setLeaving] = useState(false);
  const { busy, problem, run, clear } = useAction();
  const isDirty = base !== undefined && text !== base.text;

  const take = (next: Base) => {
    setBase(next);
    setText(next.text);
    setTheirs(undefined);
    clear();
  };
  useEffect(() => {
    const { answer } = found;
    if (answer) take({ text: pretty(answer.text), version: tag(answer.headers), id: answer.headers.get("cosmic-id") ?? "" });
  }, [found.answer]);

  useFollow(
    { kind: "feed", space, collection: name },
    {
      change: (change) => isThis(change, doc) && changed(change),
      gap: () => void found.reload(),
    },
  );
  const changed = (change: FeedChange) => {
    if (change.version === base?.version) return;
    if (isDirty && !change.deleted) setTheirs(change.version);
    else void found.reload();
  };

  const mistake = objectMistake(text);
  const save = (version: string | undefined) =>
    run(async () => {
      const written = await send(api.put(text, version));
      const kept = await send(api.read());
      take({ text: pretty(kept.text), version: tag(kept.headers), id: written.data.id });
    }, "Saved");
  const remove = () =>
    run(async () => {
      await send(api.remove(base?.version));
      setLeaving(false);
      await found.reload();
    }, "Deleted");
  const undelete = () =>
    run(async () => {
      await send(api.undelete());
      await found.reload();
    }, "Brought back");

  if (found.problem && !base) return <Missing {...{ name, doc, problem: found.problem, busy, undelete, failed: problem }} />;
  if (!base) return null;
  const gone = found.problem?.code === "gone";
  const isConflict = problem?.code === "version_mismatch";
  return (
    <>
      <div class="foot meta">
        <span>
          Version <code>{brief(base.version)}</code> <Copy text={base.version} label="Copy the version" />
        </span>
        <span>
          Id <code>{brief(base.id)}</code> <Copy text={base.id} label="Copy the id" />
        </span>
        <Curl request={isDirty && !mistake ? api.put(text, base.version) : api.read()} />
      </div>
      {gone && (
        <Note kind="warn">
          The document is deleted.{" "}
          <button type="button" class="link" onClick={() => void undelete()}>
            Bring it back
          </button>
        </Note>
      )}
      {theirs && !isConflict && (
        <Note kind="warn">
          Somebody changed the document while you edit it.{" "}
          <button type="button" class="link" onClick={() => void found.reload()}>
            Take theirs and drop mine
          </button>
        </Note>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!mistake && isDirty) void save(base.version);
        }}
      >
        <CodeField label="Value (JSON)" value={text} rows={rowsOf(text)} error={mistake} onText={setText} />
        <Trouble problem={isConflict ? undefined : problem} />
        {isConflict && <Clash {...{ space, name, doc, base, busy }} onTheirs={() => void found.reload()} onMine={(version) => void save(version)} />}
        <div class="row">
          <button type="submit" class="primary" disabled={busy || !isDirty || Boolean(mistake) || gone}>
            Save
          </button>
          <button type="button" disabled={!isDirty} onClick={() => take(base)}>
            Discard changes
          </button>
          <button type="button" class="danger push" disabled={busy || gone} onClick={() => setLeaving(true)}>
            Delete
          </button>
        </div>
      </form>
      <Ask open={leaving} title="Delete this document?" action="Delete" danger busy={busy} onAction={() => void remove()} onClose={() => setLeaving(false)}>
        <p>Its history stays: it can be brought back. The deletion goes to every device.</p>
      </Ask>
    </>
  );
}

function isThis(change: FeedChange, doc: string): boolean {
  return nameOf(change) === doc || `~${change.id}` === doc;
}

function rowsOf(text: string): number {
  return Math.min(32, Math.max(8, text.split("\n").length + 1));
}

interface MissingProps {
  name: string;
  doc: string;
  problem: Problem;
  failed?: Problem;
  busy: boolean;
  undelete(): Promise<unknown>;
}

function Missing({ name, doc, problem, failed, busy, undelete }: MissingProps) {
  if (problem.code !== "gone") {
    return (
      <Trouble problem={problem}>
        <p>
          <a href={href(["collections", name, "new"], { key: doc })}>Make a document under this key</a>
        </p>
      </Trouble>
    );
  }
  return (
    <>
      <Note kind="warn">The document is deleted. Its history is there, and so is all that it held.</Note>
      <Trouble problem={failed} />
      <div class="row">
        <button type="button" class="primary" disabled={busy} onClick={() => void undelete()}>
          Bring it back
        </button>
        <button type="button" onClick={() => go(["collections", name, "docs", doc, "history"])}>
          See its history
        </button>
      </div>
    </>
  );
}

interface ClashProps extends Omit<Props, "tab"> {
  base: Base;
  busy: boolean;
  onTheirs(): void;
  onMine(version: string): void;
}

/** The document changed since it was read: shows what, and lets choose. */
function Clash({ space, name, doc, base, busy, onTheirs, onMine }: ClashProps) {
  const diff = useAnswer(routes(space, name, doc).diff(base.version));
  return (
    <div class="note note-warn" role="alert">
      <p>
        <strong>Not saved: the document changed since you opened it.</strong> This is what changed meanwhile; your text is still in the editor.
      </p>
      {diff.data && <Changes diff={diff.data} />}
      <Trouble problem={diff.problem} />
      <div class="row">
        <button type="button" onClick={onTheirs}>
          Take theirs and drop mine
        </button>
        <button type="button" disabled={busy || !diff.data} onClick={() => diff.data && onMine(diff.data.to)}>
          Save mine over it
        </button>
      </div>
    </div>
  );
}
