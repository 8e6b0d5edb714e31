// A value that components watch: the whole of this page's state management.
import { useEffect, useState } from "preact/hooks";

export class Store<T> {
  private watchers = new Set<() => void>();
  constructor(private current: T) {}

  get value(): T {
    return this.current;
  }
  set value(next: T) {
    if (Object.is(next, this.current)) return;
    this.current = next;
    for (const watcher of [...this.watchers]) watcher();
  }
  /// Replaces some fields of an object.
  patch(some: Partial<T>) {
    this.value = { ...this.current, ...some };
  }
  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }
}

/// The value of a store; the component renders again when it changes.
export function useStore<T>(store: Store<T>): T {
  const [, render] = useState(0);
  const rendered = store.value;
  useEffect(() => {
    // It may have changed between the rendering and now.
    if (!Object.is(rendered, store.value)) render((n) => n + 1);
    return store.watch(() => render((n) => n + 1));
  }, [store]);
  return rendered;
}

/// A store that survives a reload, in localStorage where that is allowed.
export function kept<T extends object>(key: string, initial: T): Store<T> {
  let value = initial;
  try {
    value = { ...initial, ...JSON.parse(localStorage.getItem(key) ?? "{}") };
  } catch {
    // Nothing kept, or nothing that can be read: the initial value.
  }
  const store = new Store(value);
  store.watch(() => {
    try {
      localStorage.setItem(key, JSON.stringify(store.value));
    } catch {
      // Full or forbidden: it lasts until the page is closed.
    }
  });
  return store;
}
