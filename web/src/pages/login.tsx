/** The way in: a token, an account with its password, or a link that is good once. */

import { useEffect, useState } from "preact/hooks";
import { Problem, send, type Request } from "../api/http";
import { auth, node } from "../api/routes";
import type { Login as Answer, Me } from "../api/types";
import { useAction } from "../hooks";
import { useRoute } from "../route";
import { session } from "../session";
import { useStore } from "../store";
import { TextField } from "../ui/form";
import { Mark } from "../ui/icons";
import { Note, Trouble } from "../ui/notice";

export function Login() {
  const { query } = useRoute();
  const { ended } = useStore(session);
  const { link } = query;
  const [way, setWay] = useState<"account" | "token">("account");
  useEffect(() => {
    document.title = "Sign in · CosmicSync";
  }, []);
  return (
    <main class="login">
      <div class="login-box">
        <p class="login-mark">
          <Mark />
        </p>
        <h1>Sign in to this node</h1>
        {ended && !link && <Note kind="warn">Your session has ended: {ended.detail}.</Note>}
        {link ? (
          <WithLink link={link} />
        ) : (
          <>
            <div class="switch" role="group" aria-label="How to sign in">
              <button type="button" aria-pressed={way === "account"} onClick={() => setWay("account")}>
                Account
              </button>
              <button type="button" aria-pressed={way === "token"} onClick={() => setWay("token")}>
                Token
              </button>
            </div>
            {way === "account" ? <WithAccount /> : <WithToken />}
          </>
        )}
        <p class="faint login-foot">
          On the node's own machine <code>cosmicsync login</code> prints a link that signs you in. <a href="/docs">API reference</a>
        </p>
      </div>
    </main>
  );
}

async function enter(request: Request<Answer>): Promise<void> {
  begin((await send(request)).data);
}

function begin(answer: Answer): void {
  session.begin(answer);
  // The link leaves the browser's history as well.
  if (location.hash.startsWith("#/login")) location.replace("#/");
}

/** What a token may do. Nodes without accounts do not say. */
async function identify(token: string): Promise<Me> {
  const headers = { Authorization: `Bearer ${token}` };
  try {
    return (await send({ ...auth.me(), headers })).data;
  } catch (error) {
    if (Problem.of(error).status !== 404) throw error;
    await send({ ...node.status(), headers });
    return {};
  }
}

function WithToken() {
  const [token, setToken] = useState("");
  const { busy, problem, run } = useAction();
  const submit = (event: Event) => {
    event.preventDefault();
    const sent = token.trim();
    void run(async () => begin({ ...(await identify(sent)), token: sent }));
  };
  return (
    <form onSubmit={submit}>
      <TextField
        label="Token"
        value={token}
        onText={setToken}
        type="password"
        autocomplete="off"
        placeholder="cs_pat_…"
        required
        hint={
          <>
            <code>cosmicsync token create NAME</code> prints one.
          </>
        }
      />
      <Trouble problem={problem} />
      <button type="submit" class="primary wide" disabled={busy || !token.trim()}>
        Sign in
      </button>
    </form>
  );
}

function WithAccount() {
  const [account, setAccount] = useState("");
  const [password, setPassword] = useState("");
  const { busy, problem, run } = useAction();
  const submit = (event: Event) => {
    event.preventDefault();
    void run(() => enter(auth.login({ account, password })));
  };
  return (
    <form onSubmit={submit}>
      <TextField label="Account" value={account} onText={setAccount} autocomplete="username" autocapitalize="none" required />
      <TextField label="Password" value={password} onText={setPassword} type="password" autocomplete="current-password" required />
      <Trouble problem={problem} />
      <button type="submit" class="primary wide" disabled={busy}>
        Sign in
      </button>
    </form>
  );
}

function WithLink({ link }: { link: string }) {
  const { busy, problem, run } = useAction();
  const submit = (event: Event) => {
    event.preventDefault();
    void run(() => enter(auth.login({ link })));
  };
  return (
    <form onSubmit={submit}>
      <p>This link signs you in once.</p>
      <Trouble problem={problem}>
        <p>
          <a href="#/login">Sign in another way</a>
        </p>
      </Trouble>
      <button type="submit" class="primary wide" disabled={busy}>
        Continue
      </button>
    </form>
  );
}
