/** One that rejects holds up nobody. */
export type Job = () => Promise<unknown>;

/**
 * Runs jobs one at a time, in order, each in a turn of its own. The returned function adds one; it
 * answers false when `limit` wait behind the one at work. `drained` is called when none is left.
 */
export function line(limit: number, drained: () => void): (job: Job) => boolean {
  let last: Promise<unknown> = Promise.resolve();
  let length = 0;
  const next = () => {
    if (!--length) drained();
  };
  return (job) => {
    const room = length <= limit;
    if (room) {
      length++;
      last = last.then(job).then(next, next);
    }
    return room;
  };
}
