// The client's source, on a fake of socket.io-client.

import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

const { outputFiles } = await build({
  stdin: {
    contents: "export { connect } from '../../src/index.ts'; export * from './fake.mjs';",
    resolveDir: path('.'),
  },
  alias: { 'socket.io-client': path('fake.mjs') },
  bundle: true,
  write: false,
  format: 'esm',
  platform: 'node',
});

export const { connect, sockets, settled } = await import(
  `data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`
);

/** A handle, and the server's end of it. */
export function start(options = {}) {
  const herald = connect('http://fake/notice', { token: 'alice', ...options });
  const socket = sockets.at(-1);
  const errors = [];
  herald.on('error', (error) => errors.push(error));
  return { herald, socket, errors };
}

/** A handler that waits to be told how to end; `open` has one entry for each call at work. */
export function gate() {
  const open = [];
  const handler = (payload) =>
    new Promise((resolve, reject) => open.push({ payload, end: resolve, fail: reject }));
  return { open, handler };
}
