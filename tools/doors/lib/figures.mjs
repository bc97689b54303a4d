// The output of a proof: figures as lines of JSON on stdout, everything else on stderr.
import { parseArgs } from "node:util";

/** The faults found, by kind. */
export class Faults {
  #all = [];

  add(kind, what) {
    this.#all.push({ kind, what });
    if (this.#all.length <= 200) say(`${kind}: ${what}`);
  }

  count(kind) {
    return this.#all.filter((fault) => fault.kind === kind).length;
  }
}

/** Prints a figure from `n` cases. */
export function figure(name, value, n = 1) {
  console.log(JSON.stringify({ name, value: Math.round(value * 1000) / 1000, n }));
}

const begun = Date.now();

/** Reports the progress of the proof. */
export function say(text) {
  const seconds = ((Date.now() - begun) / 1000).toFixed(1).padStart(6);
  console.error(`${seconds}s ${text}`);
}

/** Parses the options of a proof; `--binary` is always one of them. */
export function options(more = {}) {
  const { values } = parseArgs({ options: { binary: { type: "string" }, ...more } });
  if (!values.binary) throw new Error("--binary PATH is missing");
  return values;
}

/** Runs a proof; a failure sets the exit code of this process. */
export async function prove(work) {
  try {
    await work();
    process.exit(0);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}
