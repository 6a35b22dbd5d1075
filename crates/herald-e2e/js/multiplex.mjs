// Several namespaces over one connection, as the official client does it by itself.
//
// { url, namespaces, auth, ...options of a Manager }
// says: connect {namespace} · event {namespace, event, args} · connect_error {namespace, message} ·
//       disconnect {namespace, reason}
// obeys: close {namespace}

import { Manager } from 'socket.io-client';
import { config, obey, say } from './lib/lines.mjs';

const { url, namespaces, auth, ...options } = config;
const manager = new Manager(url, options);
const sockets = new Map(namespaces.map((namespace) => [namespace, manager.socket(namespace, { auth })]));

for (const [namespace, socket] of sockets) {
  socket.on('connect', () => say('connect', { namespace }));
  socket.on('connect_error', (error) => say('connect_error', { namespace, message: error.message }));
  socket.on('disconnect', (reason) => say('disconnect', { namespace, reason }));
  socket.onAny((event, ...args) => say('event', { namespace, event, args }));
}

obey({ close: ({ namespace }) => sockets.get(namespace).disconnect() }, () =>
  sockets.forEach((socket) => socket.disconnect()),
);
