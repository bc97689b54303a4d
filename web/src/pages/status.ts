/** The node's status, asked for again and again while a page shows it; what came before is kept for plots. */

import { useEffect } from "preact/hooks";
import { Problem, send } from "../api/http";
import { node } from "../api/routes";
import type { Status } from "../api/types";
import { session } from "../session";
import { store, useStore } from "../store";

export interface Sample {
  /** Seconds since 1970. */
  at: number;
  entries: number;
  bytes: number;
  behind: number;
  ahead: number;
  documents: number;
}

interface Known {
  status?: Status;
  problem?: Problem;
  samples: Sample[];
}

const EVERY_MS = 2_000;
/** Ten minutes. */
const SAMPLES_MAX = 300;

const known = store<Known>({ samples: [] });
let readers = 0;
let timer: ReturnType<typeof setInterval> | undefined;

async function ask(): Promise<void> {
  if (!session.get().token || document.visibilityState === "hidden") return;
  try {
    const { data } = await send(node.status());
    known.set({ status: data, samples: [...known.get().samples, sampled(data)].slice(-SAMPLES_MAX) });
  } catch (error) {
    known.set({ ...known.get(), problem: Problem.of(error) });
  }
}

function sampled({ store, peers, spaces }: Status): Sample {
  return {
    at: Date.now() / 1_000,
    entries: store.entries,
    bytes: store.bytes,
    behind: peers.reduce((sum, peer) => sum + peer.behind, 0),
    ahead: peers.reduce((sum, peer) => sum + peer.ahead, 0),
    documents: spaces.reduce((sum, space) => sum + space.documents, 0),
  };
}

/** The status, as long as somebody shows it. */
export function useStatus(): Known {
  useEffect(() => {
    if (readers++ === 0) {
      void ask();
      timer = setInterval(() => void ask(), EVERY_MS);
    }
    return () => {
      if (--readers === 0) clearInterval(timer);
    };
  }, []);
  return useStore(known);
}
