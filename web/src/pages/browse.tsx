/** The documents of a collection as a table: filtered, sorted, in pages, and kept up with what changes. */

import { useEffect, useRef, useState } from "preact/hooks";
import { collection } from "../api/routes";
import { readJson, type Json } from "../api/json";
import type { Query } from "../api/types";
import { counted } from "../format";
import { useAnswer, useFollow, useThrottle } from "../hooks";
import { href, refine } from "../route";
import { Curl } from "../ui/copy";
import { Icon } from "../ui/icons";
import { Empty, Note, Trouble } from "../ui/notice";
import { DocumentTable, sortOf, type Sort } from "./document-table";
import { SelectorField } from "./selector-field";

const PAGE = 50;
const REFRESH_MS = 300;

interface Props {
  space: string;
  name: string;
  query: Record<string, string>;
}

export function Browse({ space, name, query }: Props) {
  const api = collection(space, name);
  const where = query["where"] ?? "";
  const sort = query["sort"] ?? "";
  const selector = parsed(where);
  const pages = usePages(`${where}\n${sort}`);
  const asked: Query = { selector, sort: sortOf(sort as Sort), limit: PAGE, bookmark: pages.bookmark };
  const request = api.find(asked);
  const found = useAnswer(request);
  const counting = useAnswer(api.count({ selector }));
  const collectionSize = useAnswer(where || sort ? api.show() : undefined);
  const refresh = useThrottle(async () => void (await Promise.all([found.reload(), counting.reload()])), REFRESH_MS);
  useFollow({ kind: "feed", space, collection: name }, { change: refresh, gap: refresh });

  const { data, problem } = found;
  const total = counting.data?.count ?? undefined;
  const isSelector = problem?.code === "bad_selector";
  return (
    <section aria-label="Documents">
      <div class="bar">
        <SelectorField value={where} problem={isSelector ? problem : undefined} onApply={(text) => refine({ where: text || undefined })} />
        <a class="button primary" href={href(["collections", name, "new"])}>
          <Icon name="plus" /> New document
        </a>
      </div>
      <Trouble problem={isSelector ? undefined : problem} />
      {data?.warning === "no_index" && (where || sort) && (collectionSize.data?.documents ?? 0) > 10_000 && (
        <Note kind="warn">
          No index helps: every document was looked at. <a href={href(["collections", name, "indexes"])}>Make an index</a>
        </Note>
      )}
      {data && data.docs.length === 0 && !problem && <Nothing name={name} isFiltered={where !== ""} />}
      {data && data.docs.length > 0 && (
        <DocumentTable name={name} docs={data.docs} sort={sort as Sort} busy={found.loading} onSort={(next) => refine({ sort: next || undefined })} />
      )}
      <div class="foot">
        <p role="status">{total !== undefined && `${counted(total, "document")}${where ? " match" : ""}`}</p>
        <Curl request={request} />
        <Pager pages={pages} next={data?.bookmark} />
      </div>
    </section>
  );
}

function parsed(text: string): Json | undefined {
  try {
    return text ? readJson(text) : undefined;
  } catch {
    return undefined;
  }
}

interface Pages {
  number: number;
  bookmark?: string;
  open(bookmark: string): void;
  back(): void;
}

/** The pages that were gone through: a bookmark leads on, and the way back is remembered. */
function usePages(key: string): Pages {
  const [state, setState] = useState<{ key: string; marks: string[] }>({ key, marks: [] });
  const marks = state.key === key ? state.marks : [];
  return {
    number: marks.length + 1,
    bookmark: marks.at(-1),
    open: (bookmark) => setState({ key, marks: [...marks, bookmark] }),
    back: () => setState({ key, marks: marks.slice(0, -1) }),
  };
}

function Pager({ pages, next }: { pages: Pages; next?: string | null }) {
  const top = useRef(pages.number);
  useEffect(() => {
    if (top.current !== pages.number) document.getElementById("main")?.scrollTo({ top: 0 });
    top.current = pages.number;
  }, [pages.number]);
  if (pages.number === 1 && !next) return null;
  return (
    <nav class="pager" aria-label="Pages">
      <button type="button" disabled={pages.number === 1} onClick={pages.back}>
        Previous
      </button>
      <span>Page {pages.number}</span>
      <button type="button" disabled={!next} onClick={() => next && pages.open(next)}>
        Next
      </button>
    </nav>
  );
}

function Nothing({ name, isFiltered }: { name: string; isFiltered: boolean }) {
  if (isFiltered) {
    return (
      <Empty title="No document matches">
        <p>
          <button type="button" class="link" onClick={() => refine({ where: undefined })}>
            Take the filter away
          </button>
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="No documents yet">
      <p>
        <a href={href(["collections", name, "new"])}>Add the first one</a>, or <a href={href(["collections", name, "files"])}>import a file</a>.
      </p>
    </Empty>
  );
}
