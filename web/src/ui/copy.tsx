/** Buttons that copy. */

import { useState } from "preact/hooks";
import { curl, type Request } from "../api/http";
import { say } from "./notice";
import { Icon } from "./icons";

/** Copies a text. */
export function Copy({ text, label }: { text: string; label: string }) {
  return (
    <button type="button" class="icon-button" aria-label={label} title={label} onClick={() => void copy(text)}>
      <Icon name="copy" />
    </button>
  );
}

/** Shows a request as a command, and copies it. */
export function Curl({ request }: { request: Request<unknown> | undefined }) {
  const [open, setOpen] = useState(false);
  if (!request) return null;
  const text = curl(request);
  return (
    <div class="curl">
      <button type="button" class="link" aria-expanded={open} onClick={() => setOpen(!open)}>
        curl
      </button>
      <button type="button" class="icon-button" aria-label="Copy as curl" title="Copy as curl" onClick={() => void copy(text)}>
        <Icon name="copy" />
      </button>
      {open && (
        <pre class="code" tabIndex={0} aria-label="The request as a curl command">
          {text}
        </pre>
      )}
    </div>
  );
}

async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    say("The browser does not let pages copy");
  }
}
