import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until `condition` is true, and gives what it gave. */
export async function until(condition, what = condition.toString(), patience = 10_000) {
  const deadline = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${patience} ms: ${what}`);
    await sleep(5);
  }
}
