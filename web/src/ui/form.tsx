/** Parts of forms. */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  error?: string;
  /** Gets the attributes that tie it to its label and its error. */
  children(tied: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean }): ComponentChildren;
}

/** A labelled input, with what to know about it and what is wrong with it. */
export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, "aria-describedby": described || undefined, "aria-invalid": error ? true : undefined })}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      <p class="error" id={`${id}-error`} aria-live="polite">
        {error}
      </p>
    </div>
  );
}

type Tied = Parameters<FieldProps["children"]>[0];

interface TextFieldProps extends Pick<FieldProps, "label" | "hint" | "error"> {
  value: string;
  type?: "text" | "password" | "number";
  placeholder?: string;
  autocomplete?: string;
  autocapitalize?: "none";
  maxLength?: number;
  min?: number;
  max?: number;
  required?: boolean;
  class?: string;
  onText(text: string): void;
}

/** An input of text under a label. */
export function TextField({
  label, hint, error, value, onText, type = "text", ...more
}: TextFieldProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(tied: Tied) => <input spellcheck={false} type={type as "text"} {...more} {...tied} value={value} onInput={(event) => onText(event.currentTarget.value)} />}
    </Field>
  );
}

/** A text of several lines, in the type of code. Tab leaves it, as everywhere. */
export function CodeField({
  label, hint, error, value, rows = 16, onText, readOnly,
}: Pick<FieldProps, "label" | "hint" | "error"> & { value: string; rows?: number; readOnly?: boolean; onText(text: string): void }) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(tied: Tied) => (
        <textarea
          {...tied}
          class="code-input"
          spellcheck={false}
          autocomplete="off"
          rows={rows}
          readOnly={readOnly}
          value={value}
          onInput={(event) => onText(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

interface AskProps {
  open: boolean;
  title: string;
  /** What the button says that does it. */
  action?: string;
  danger?: boolean;
  busy?: boolean;
  children?: ComponentChildren;
  onAction?(): void;
  onClose(): void;
}

/** Asks before something is done, or takes a few inputs. Escape leaves it. */
export function Ask({ open, title, action, danger, busy, children, onAction, onClose }: AskProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    if (open && !dialog.current?.open) dialog.current?.showModal();
    if (!open && dialog.current?.open) dialog.current.close();
  }, [open]);
  return (
    <dialog ref={dialog} class="ask" aria-labelledby={heading} onClose={onClose}>
      {open && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            onAction?.();
          }}
        >
          <h2 id={heading}>{title}</h2>
          {children}
          <div class="row end">
            <button type="button" onClick={onClose}>
              {action ? "Cancel" : "Close"}
            </button>
            {action && (
              <button type="submit" class={danger ? "danger" : "primary"} disabled={busy}>
                {action}
              </button>
            )}
          </div>
        </form>
      )}
    </dialog>
  );
}
