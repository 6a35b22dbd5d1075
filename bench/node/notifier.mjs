// The sending side of the usual Node design: a gRPC service that looks up the user's socket ids in
// Redis and emits to them through Redis. It speaks Herald's own API, so that one producer can drive
// both.
//
//   node notifier.mjs PORT REDIS_URL
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import grpc from '@grpc/grpc-js'
import loader from '@grpc/proto-loader'
import { Emitter } from '@socket.io/redis-emitter'
import { createClient } from 'redis'

const [port, url] = process.argv.slice(2)
const redis = createClient({ url })
await redis.connect()
const emitter = new Emitter(redis).of('/notice')

const proto = fileURLToPath(new URL('../../proto', import.meta.url))
const definition = loader.loadSync('herald/v1/notice_service.proto', { includeDirs: [proto], enums: String })
const { herald } = grpc.loadPackageDefinition(definition)

async function send({ userId, json }) {
  const id = randomUUID()
  const sockets = await redis.sMembers(`user:${userId}`)
  if (sockets.length > 0) {
    const meta = { id, cursor: '', sentAt: Date.now(), replayed: false }
    emitter.to(sockets).emit('notice', JSON.parse(json), meta)
  }
  const outcome = sockets.length > 0 ? 'OUTCOME_ACCEPTED' : 'OUTCOME_OFFLINE'
  return { noticeId: id, outcome, sessions: sockets.map(() => ({ state: 'SESSION_STATE_ACCEPTED' })) }
}

const server = new grpc.Server()
server.addService(herald.v1.NoticeService.service, {
  sendNotice(call, answer) {
    send(call.request).then((result) => answer(null, result), answer)
  }
})
server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error
})
