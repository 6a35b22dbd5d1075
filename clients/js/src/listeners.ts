type Listener = (...args: any[]) => unknown;

/** Calls handlers by name, one after the other; `failed` hears of each that threw. */
export function listeners(failed: (cause: unknown, name: string, args: unknown[]) => void) {
  const byName = new Map<string, Set<Listener>>();
  return {
    on(name: string, listener: Listener): () => void {
      const all = byName.get(name) ?? new Set();
      byName.set(name, all.add(listener));
      return () => all.delete(listener);
    },

    /** How many there are; undefined counts as none. */
    has: (name: string) => byName.get(name)?.size,

    /** The first handler runs before this returns. Never rejects; tells whether none threw. */
    async run(name: string, ...args: unknown[]): Promise<boolean> {
      let well = true;
      for (const listener of [...(byName.get(name) ?? [])]) {
        try {
          await listener(...args);
        } catch (cause) {
          well = false;
          failed(cause, name, args);
        }
      }
      return well;
    },
  };
}
