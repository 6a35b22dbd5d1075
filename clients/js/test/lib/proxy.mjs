// A line to a server that can be cut: real connections that really break.

import { connect as dial, createServer } from 'node:net';

export async function proxy(port) {
  const open = new Set();
  let up = true;
  const server = createServer((near) => {
    if (!up) {
      near.destroy();
      return;
    }
    const far = dial(line.to, '127.0.0.1');
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      one.pipe(other);
      one.on('error', () => {});
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

  const line = {
    port: server.address().port,
    /** Where it leads; may be changed while it is down. */
    to: port,
    /** Breaks what is open; the next connection goes through. */
    cut() {
      for (const socket of open) socket.destroy();
    },
    /** Breaks what is open, and lets nobody through. */
    down() {
      up = false;
      line.cut();
    },
    up() {
      up = true;
    },
    close() {
      line.cut();
      server.close();
    },
  };
  return line;
}
