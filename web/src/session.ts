/** Who uses the console: a token, kept until the tab is closed. */

import type { Problem } from "./api/http";
import type { Login, Role } from "./api/types";
import { store } from "./store";

export interface Session {
  token?: string;
  account?: string;
  role?: Role;
  /** Why the last session ended. */
  ended?: Problem;
}

const KEY = "cosmicsync.session";

function restored(): Session {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "{}") as Session;
  } catch {
    return {};
  }
}

const state = store<Session>(restored());

export const session = {
  ...state,

  /** Begins a session. */
  begin({ token, account, role }: Login): void {
    const next = { token, account, role };
    sessionStorage.setItem(KEY, JSON.stringify(next));
    state.set(next);
  },

  /** The user leaves. */
  end(): void {
    sessionStorage.removeItem(KEY);
    state.set({});
  },

  /** The node does not take the token any more. */
  expire(ended: Problem): void {
    if (!state.get().token) return;
    sessionStorage.removeItem(KEY);
    state.set({ ended });
  },
};
