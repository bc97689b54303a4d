/** Backups: a sealed copy of the whole node as a file. */

import { useState } from "preact/hooks";
import { download } from "../api/http";
import { node } from "../api/routes";
import { bytes } from "../format";
import { useAction } from "../hooks";
import { Copy, Curl } from "../ui/copy";
import { TextField } from "../ui/form";
import { Note, Trouble } from "../ui/notice";
import { Page } from "../ui/page";

/** Characters of a passphrase, at least. */
const LENGTH_MIN = 8;

export function Backups() {
  const [passphrase, setPassphrase] = useState("");
  const [again, setAgain] = useState("");
  const [made, setMade] = useState<number>();
  const { busy, problem, run } = useAction();
  const differs = again !== "" && again !== passphrase ? "It is not the same." : undefined;
  const ready = passphrase.length >= LENGTH_MIN && again === passphrase;
  const make = () =>
    run(async () => {
      const file = await download(node.backup(passphrase));
      const link = document.createElement("a");
      link.href = URL.createObjectURL(file);
      link.download = `cosmicsync-${new Date().toISOString().slice(0, 10)}.backup`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      setMade(file.size);
      setPassphrase("");
      setAgain("");
    }, "The backup is there");
  return (
    <Page title="Backups" aside="all documents with their history, spaces and keys">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) void make();
        }}
      >
        <h2>Make a backup</h2>
        <p class="faint">
          The file is sealed by a passphrase. Whoever has both has all that this node holds. Without the passphrase nobody reads it,
          and nobody can restore it.
        </p>
        <TextField
          label="Passphrase"
          type="password"
          autocomplete="new-password"
          value={passphrase}
          onText={setPassphrase}
          hint={`${LENGTH_MIN} characters or more: whoever has the file can try any number of them.`}
        />
        <TextField label="The same again" type="password" autocomplete="new-password" value={again} onText={setAgain} error={differs} />
        <Trouble problem={problem} />
        <div class="row">
          <button type="submit" class="primary" disabled={busy || !ready}>
            {busy ? "Making it…" : "Download a backup"}
          </button>
          <Curl request={node.backup("PASSPHRASE")} />
        </div>
        {made !== undefined && <Note kind="good">The backup has {bytes(made)}. Verify it before you rely on it.</Note>}
      </form>
      <section class="card" aria-label="Verify and restore">
        <h2>Verify and restore</h2>
        <p>Both are done on the machine that has the file. A restored device replaces the original: stop that one first.</p>
        <Command text="cosmicsync backup verify FILE" />
        <Command text="cosmicsync --dir NEW_DIR backup restore FILE" />
      </section>
    </Page>
  );
}

function Command({ text }: { text: string }) {
  return (
    <p class="row">
      <code>{text}</code> <Copy text={text} label={`Copy: ${text}`} />
    </p>
  );
}
