// A stock Socket.IO server that speaks like a gateway as far as a client can tell: what the raw
// client of herald-loadgen is held against.
//
// { pingInterval, pingTimeout }
// says: listening {port} · connect {id, namespace, auth, transport} · event {event, args} ·
//       acknowledged · disconnect {id, reason}
// obeys: notice {event, payload (JSON text), meta, ack} · emit {event, args} · disconnect · close (the transports)

import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { config, obey, say } from './lib/lines.mjs';

const http = createServer();
const io = new Server(http, { path: '/notice', ...config });
const namespaces = [io.of('/notice'), io.of('/')];

for (const namespace of namespaces) {
  namespace.use((socket, next) => {
    const token = socket.handshake.auth.token ?? socket.handshake.query.token;
    next(token ? undefined : new Error('Authentication error: missing'));
  });
  namespace.on('connection', (socket) => {
    const { auth, query } = socket.handshake;
    const transport = socket.conn.transport.name;
    say('connect', { id: socket.id, namespace: namespace.name, auth, query, transport });
    socket.emit('herald:ready', { session: `s-${socket.id}`, cursor: auth.cursor ?? 'first' });
    socket.onAny((event, ...args) => say('event', { event, args }));
    socket.on('disconnect', (reason) => say('disconnect', { id: socket.id, reason }));
  });
}

obey(
  {
    notice: ({ event, payload, meta, ack }) => {
      for (const namespace of namespaces) {
        for (const socket of namespace.sockets.values()) {
          const done = ack ? [() => say('acknowledged')] : [];
          socket.emit(event, JSON.parse(payload), meta, ...done);
        }
      }
    },
    emit: ({ event, args }) => namespaces.forEach((namespace) => namespace.emit(event, ...args)),
    disconnect: () => namespaces.forEach((namespace) => namespace.disconnectSockets()),
    close: () => Object.values(io.engine.clients).forEach((client) => client.close()),
  },
  () => io.close(),
);
http.listen(0, '127.0.0.1', () => say('listening', { port: http.address().port }));
