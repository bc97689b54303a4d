/** What pages share: answers of requests, spaces, intervals. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Problem, send, type Answer, type Request } from "./api/http";
import { node } from "./api/routes";
import { follow, type Followed, type Handlers } from "./api/socket";
import type { Space } from "./api/types";
import { useRoute } from "./route";
import { store, useStore } from "./store";
import { say } from "./ui/notice";

export interface Loaded<T> {
  data?: T;
  answer?: Answer<T>;
  problem?: Problem;
  loading: boolean;
  reload(): Promise<void>;
}

/** The answer of a request, which is sent again when it is another one. What was there stays until the next is. */
export function useAnswer<T>(request: Request<T> | undefined): Loaded<T> {
  const [state, setState] = useState<{ answer?: Answer<T>; problem?: Problem; loading: boolean }>({ loading: true });
  const key = request && JSON.stringify([request.method, request.path, request.query, request.body]);
  const latest = useRef(request);
  latest.current = request;
  const running = useRef<AbortController>(undefined);
  const reload = useCallback(async () => {
    const wanted = latest.current;
    if (!wanted) return;
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    setState((before) => ({ ...before, loading: true }));
    try {
      const answer = await send(wanted, abort.signal);
      if (!abort.signal.aborted) setState({ answer, loading: false });
    } catch (error) {
      if (!abort.signal.aborted) setState((before) => ({ ...before, problem: Problem.of(error), loading: false }));
    }
  }, []);
  useEffect(() => {
    void reload();
    return () => running.current?.abort();
  }, [key, reload]);
  return { ...state, data: state.answer?.data, reload };
}

/** Sends requests that change something: whether one is on its way, and how the last one failed. */
export function useAction() {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const run = useCallback(async <T>(action: () => Promise<T>, done?: string): Promise<T | undefined> => {
    setBusy(true);
    setProblem(undefined);
    try {
      const result = await action();
      if (done) say(done);
      return result;
    } catch (error) {
      setProblem(Problem.of(error));
      return undefined;
    } finally {
      setBusy(false);
    }
  }, []);
  return { busy, problem, run, clear: useCallback(() => setProblem(undefined), []) };
}

const spaces = store<Space[] | undefined>(undefined);

/** Reads the spaces again. Who may not see them still reads documents of the only one. */
export async function loadSpaces(): Promise<void> {
  try {
    spaces.set((await send(node.spaces())).data.spaces);
  } catch {
    spaces.set([]);
  }
}

/** The spaces of the node. */
export const useSpaces = (): Space[] | undefined => useStore(spaces);

/** Forgets them, as another user may see others. */
export const forgetSpaces = (): void => spaces.set(undefined);

/** The name of the space that pages show: that of the address, else the first one. */
export function useSpace(): string {
  const { query } = useRoute();
  const all = useSpaces();
  return query["space"] ?? all?.[0]?.name ?? "-";
}

/** Follows something as long as the component is there. */
export function useFollow(what: Followed | undefined, handlers: Handlers): void {
  const latest = useRef(handlers);
  latest.current = handlers;
  const key = what && JSON.stringify(what);
  useEffect(() => {
    if (!what) return;
    return follow(what, {
      ready: (events) => latest.current.ready?.(events),
      batch: (events) => latest.current.batch?.(events),
      change: (change) => latest.current.change?.(change),
      gap: () => latest.current.gap?.(),
      problem: (problem) => latest.current.problem?.(problem),
    });
  }, [key]);
}

/** Calls again and again, while the page is to be seen. */
export function useInterval(call: () => void, ms: number | undefined): void {
  const latest = useRef(call);
  latest.current = call;
  useEffect(() => {
    if (ms === undefined) return;
    const timer = setInterval(() => document.visibilityState === "visible" && latest.current(), ms);
    return () => clearInterval(timer);
  }, [ms]);
}

/** Calls at most once in `ms`, and not before the last call is over five times as long as it took. */
export function useThrottle(call: () => Promise<void>, ms: number): () => void {
  const latest = useRef(call);
  latest.current = call;
  const state = useRef<{ timer?: ReturnType<typeof setTimeout>; free: number }>({ free: 0 });
  useEffect(() => () => clearTimeout(state.current.timer), []);
  return useCallback(() => {
    const own = state.current;
    if (own.timer !== undefined) return;
    const fire = async () => {
      const begun = performance.now();
      own.free = Number.POSITIVE_INFINITY;
      delete own.timer;
      try {
        await latest.current();
      } finally {
        const ended = performance.now();
        own.free = ended + Math.max(ms, 5 * (ended - begun));
      }
    };
    const wait = own.free === Number.POSITIVE_INFINITY ? ms : Math.max(0, own.free - performance.now());
    own.timer = setTimeout(() => void fire(), wait);
  }, [ms]);
}
