// The official client, saying all that happens to it.
//
// { url, auth, resume, hear, acknowledge, ...options of io() }: with `resume` each handshake hands in the
// newest cursor, `hear` names an event that a listener with one argument is for, with `acknowledge`
// what asks for an acknowledgement gets one at once, else when told to
// says: connect {id, transport} · upgrade {transport} · event {event, args} · heard {payload} ·
//       connect_error {message, active: whether it will try again} · disconnect {reason} ·
//       reconnect_attempt {attempt}
// obeys: acknowledge (all that asked for it so far) · close · open {auth: another one than before, if given} · drop (breaks the transport) · emit {event, args}

import { io } from 'socket.io-client';
import { config, obey, say } from './lib/lines.mjs';

const { url, resume, hear, acknowledge, ...options } = config;
const acks = [];
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
  const ack = typeof args.at(-1) === 'function' ? args.pop() : undefined;
  if (ack && acknowledge) ack();
  else if (ack) acks.push(ack);
  say('event', { event, args, asks: ack !== undefined });
});
socket.io.on('reconnect_attempt', (attempt) => say('reconnect_attempt', { attempt }));

obey(
  {
    acknowledge: () => acks.splice(0).forEach((ack) => ack()),
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
