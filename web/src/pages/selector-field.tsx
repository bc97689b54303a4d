/** The filter: a selector, checked as it is typed and applied with Enter. */

import { useEffect, useState } from "preact/hooks";
import type { Problem } from "../api/http";
import { objectMistake } from "../api/json";
import { Field } from "../ui/form";

interface Props {
  value: string;
  /** What the node says of the selector. */
  problem?: Problem;
  onApply(text: string): void;
}

export function SelectorField({ value, problem, onApply }: Props) {
  const [text, setText] = useState(value);
  const [tried, setTried] = useState(false);
  useEffect(() => setText(value), [value]);
  const trimmed = text.trim();
  const mistake = trimmed ? objectMistake(trimmed) : undefined;
  const told = text === value ? problem?.detail : undefined;
  const submit = (event: Event) => {
    event.preventDefault();
    setTried(true);
    if (!mistake) onApply(trimmed);
  };
  return (
    <form class="selector" role="search" onSubmit={submit}>
      <Field label="Filter" error={told ?? (tried ? mistake : undefined)}>
        {(tied) => (
          <input
            {...tied}
            type="text"
            class="mono"
            spellcheck={false}
            autocomplete="off"
            autocapitalize="none"
            placeholder='{"state": "NY", "pop": {"$gt": 10000}}'
            value={text}
            onInput={(event) => {
              setText(event.currentTarget.value);
              setTried(false);
            }}
            onBlur={() => setTried(trimmed !== "")}
          />
        )}
      </Field>
      <button type="submit">Apply</button>
    </form>
  );
}
