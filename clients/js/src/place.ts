import type { Options, Storage } from './index.js';

/** How far the client is: its cursor, and the ids that it has handled. */
export function place(options: Options, key: string, failed: (cause: unknown) => void) {
  const { storage = 'memory', maxSeen = 2000, maxStored = 100 } = options;
  // `memory` is a text, which has neither and keeps nothing. The global of `local` is looked up
  // when it is used: where it is not allowed, looking it up throws.
  const store: Partial<Storage> =
    storage === 'local'
      ? { get: (key) => localStorage.getItem(key), set: (key, value) => localStorage.setItem(key, value) }
      : (storage as Partial<Storage>);
  const seen = new Set<string>();
  let { cursor } = options;
  let changes = 0;
  let broken = false;

  async function load(): Promise<void> {
    // Who is to hear of a failure is added after this turn's `connect()`.
    await null;
    try {
      const [kept, ids = []] = JSON.parse((await store.get?.(key)) || '[]');
      cursor = kept ?? cursor;
      ids.forEach(seen.add, seen);
    } catch (cause) {
      failed(cause);
    }
  }

  /** A storage that is slow gets the latest state when it is ready, not each one. */
  async function save(): Promise<void> {
    if (changes++) return;
    for (let saved = 0; saved < changes; ) {
      saved = changes;
      try {
        await store.set?.(key, JSON.stringify([cursor, [...seen].slice(-maxStored || maxSeen)]));
        broken = false;
      } catch (cause) {
        // A storage that is full stays so: told once, not with each notice.
        if (!broken) failed(cause);
        broken = true;
      }
    }
    changes = 0;
  }

  return {
    seen,

    /** Settled once the storage was read; never rejects. */
    loaded: load(),

    cursor: () => cursor,

    /**
     * Notes an id as the latest one seen, moves on to a cursor, and keeps both. A storage that
     * returns no promise has them when this returns.
     */
    keep(next?: string | false, id?: string | false): void {
      cursor = next || cursor;
      if (id) {
        seen.delete(id);
        seen.add(id);
        if (seen.size > maxSeen) seen.delete(seen.values().next().value as string);
      }
      void save();
    },
  };
}
