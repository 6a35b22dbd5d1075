// The official client, saying all that happens to it.
//
// { url, auth, ...options of io() }
// says: connect {id, transport} · upgrade {transport} · event {event, args} · connect_error
//       {message} · disconnect {reason} · reconnect_attempt {attempt}
// obeys: close · open {auth} · drop (breaks the transport) · emit {event, args}

import { io } from 'socket.io-client';
import { config, obey, say } from './lib/lines.mjs';

const { url, ...options } = config;
const socket = io(url, { forceNew: true, ...options });

socket.on('connect', () => {
  const { engine } = socket.io;
  say('connect', { id: socket.id, transport: engine.transport.name });
  engine.once('upgrade', (transport) => say('upgrade', { transport: transport.name }));
});
socket.on('connect_error', (error) => say('connect_error', { message: error.message }));
socket.on('disconnect', (reason) => say('disconnect', { reason }));
socket.onAny((event, ...args) => {
  say('event', { event, args: args.filter((arg) => typeof arg !== 'function') });
});
socket.io.on('reconnect_attempt', (attempt) => say('reconnect_attempt', { attempt }));

obey(
  {
    close: () => socket.disconnect(),
    open: ({ auth }) => {
      if (auth) socket.auth = auth;
      socket.connect();
    },
    drop: () => socket.io.engine.close(),
    emit: ({ event, args }) => socket.emit(event, ...args),
  },
  () => socket.disconnect(),
);
