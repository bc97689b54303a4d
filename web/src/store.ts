/** A value that pages follow. */

import { useEffect, useState } from "preact/hooks";

export interface Store<T> {
  get(): T;
  set(value: T): void;
  follow(told: (value: T) => void): () => void;
}

export function store<T>(first: T): Store<T> {
  let value = first;
  const told = new Set<(value: T) => void>();
  return {
    get: () => value,
    set(next) {
      value = next;
      for (const tell of [...told]) tell(value);
    },
    follow(tell) {
      told.add(tell);
      return () => void told.delete(tell);
    },
  };
}

/** The value of a store; the component is drawn again when it changes. */
export function useStore<T>(from: Store<T>): T {
  const [value, setValue] = useState<T>(() => from.get());
  useEffect(() => {
    setValue(() => from.get());
    return from.follow((next) => setValue(() => next));
  }, [from]);
  return value;
}
