// The official client, saying all that happens to it.
//
// { url, auth, resume, hear, ...options of io() }: with `resume` each handshake hands in the newest
// cursor, `hear` names an event that a listener with one argument is for
// says: connect {id, transport} · upgrade {transport} · event {event, args} · heard {payload} ·
//       connect_error {message, active: whether it will try again} · disconnect {reason} ·
//       reconnect_attempt {attempt}
// obeys: close · open {auth: another one than before, if given} · drop (breaks the transport) · emit {event, args}

import { io } from 'socket.io-client';
import { config, obey, say } from './lib/lines.mjs';

const { url, resume, hear, ...options } = config;
let cursor = options.auth?.cursor;
if (resume) options.auth = (give) => give({ ...config.auth, cursor });
const socket = io(url, { forceNew: true, ...options });

socket.on('connect', () => {
  say('connect', { id: socket.id, transport: socket.io.engine.transport.name });
});
// Which may be before the namespace is connected.
socket.io.on('open', () => {
  socket.io.engine.once('upgrade', (transport) => say('upgrade', { transport: transport.name }));
});
socket.on('connect_error', (error) => say('connect_error', { message: error.message, active: socket.active }));
socket.on('disconnect', (reason) => say('disconnect', { reason }));
if (hear) socket.on(hear, (payload) => say('heard', { payload }));
socket.onAny((event, ...args) => {
  if (event === 'herald:ready') cursor = args[0].cursor;
  else if (args[1]?.cursor) cursor = args[1].cursor;
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
