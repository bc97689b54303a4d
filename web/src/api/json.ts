/**
 * JSON that keeps its numbers: a document may hold 64-bit integers, and `2.0` is another number than `2`. A number that
 * JavaScript would write in another way stays as it was written.
 */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

interface RawJson {
  parse(text: string, reviver: (key: string, value: unknown, context?: { source?: string }) => unknown): unknown;
  rawJSON?(text: string): Json;
  isRawJSON?(value: unknown): boolean;
}
const raw = JSON as unknown as RawJson;

/** Reads JSON. Throws a `SyntaxError`. */
export function readJson(text: string): Json {
  return raw.parse(text, (_, value, context) => {
    const source = context?.source;
    const differs = typeof value === "number" && source !== undefined && String(value) !== source;
    return differs && raw.rawJSON ? raw.rawJSON(source) : value;
  }) as Json;
}

/** Writes JSON as it was read. */
export function writeJson(value: Json | undefined, indent = 0): string {
  return value === undefined ? "" : JSON.stringify(value, null, indent);
}

/** The same JSON in several lines. A browser that would round numbers leaves it as it came. */
export function pretty(text: string): string {
  return raw.rawJSON ? writeJson(readJson(text), 2) : text;
}

/** Whether a value has members. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !raw.isRawJSON?.(value);
}

/** Whether a value is a number, also one that is kept as it was written. */
export function isNumber(value: Json | undefined): boolean {
  return typeof value === "number" || raw.isRawJSON?.(value) === true;
}

/** A value in one line, for a cell of a table. */
export function shown(value: Json | undefined): string {
  return typeof value === "string" ? value : writeJson(value);
}

/** What is wrong with a text that should be a JSON object, or nothing. */
export function objectMistake(text: string): string | undefined {
  try {
    return isObject(readJson(text)) ? undefined : "This must be a JSON object: { ... }";
  } catch (error) {
    return error instanceof Error ? error.message : "This is no JSON";
  }
}
