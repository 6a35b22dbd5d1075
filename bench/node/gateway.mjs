// A gateway of the usual Node design: Socket.IO with the Redis adapter, and in Redis, for each
// user, the set of the socket ids that are open. Any number of these processes share one Redis.
//
//   node gateway.mjs PORT REDIS_URL
import { createServer } from 'node:http'
import { createAdapter } from '@socket.io/redis-adapter'
import { createClient } from 'redis'
import { Server } from 'socket.io'

const [port, url] = process.argv.slice(2)
const publisher = createClient({ url })
const subscriber = publisher.duplicate()
const ids = publisher.duplicate()
await Promise.all([publisher, subscriber, ids].map((client) => client.connect()))

const http = createServer((request, response) => response.writeHead(404).end())
const io = new Server(http, {
  path: '/notice',
  serveClient: false,
  // Compression costs memory and time for small messages; off is also the default.
  perMessageDeflate: false,
  httpCompression: false,
  adapter: createAdapter(publisher, subscriber)
})

// The documentation's advice for many idle connections: let go of the first request.
io.engine.on('connection', (socket) => { socket.request = null })

const notice = io.of('/notice')
notice.use((socket, next) => {
  const user = socket.handshake.auth.token
  if (typeof user !== 'string' || user === '') return next(new Error('Authentication error'))
  socket.data.user = user
  next()
})
notice.on('connection', async (socket) => {
  const key = `user:${socket.data.user}`
  socket.on('disconnect', () => ids.sRem(key, socket.id).catch(() => {}))
  await ids.sAdd(key, socket.id)
  socket.emit('herald:ready', { session: socket.id, cursor: '' })
})

http.listen(Number(port), '127.0.0.1', 4096)
