'use strict'

// Where the gateway and the notifier listen, as the process that serves this page bound them.
const config = fetch('/config.json').then((answer) => answer.json())

// When this page sent which notice, by the page's own clock.
const sentAt = new Map()

const ms = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`

function remember(id, when) {
  sentAt.set(id, when)
  if (sentAt.size > 1000) sentAt.delete(sentAt.keys().next().value)
}

// A notice may arrive before the answer to the call that sent it.
let sending = null

function latency(meta) {
  const known = sentAt.get(meta.id) ?? sending
  if (meta.replayed) return 'replayed'
  return known === null || known === undefined
    ? `${ms(Math.max(0, Date.now() - meta.sentAt))} after it was accepted`
    : `${ms(performance.now() - known)} from click to here`
}

function line(log, text, detail) {
  const item = document.createElement('li')
  const meta = document.createElement('div')
  meta.className = 'meta'
  meta.textContent = detail
  item.append(meta)
  if (text !== undefined) {
    const payload = document.createElement('div')
    payload.className = 'payload'
    payload.textContent = text
    item.append(payload)
  }
  log.prepend(item)
  while (log.children.length > 200) log.lastChild.remove()
}

async function device(user, transports) {
  const { gateway, path } = await config
  const view = document.querySelector('#device').content.cloneNode(true).firstElementChild
  const [state, toggle, log] = ['.state', '.toggle', '.log'].map((part) => view.querySelector(part))
  view.querySelector('.user').textContent = user
  document.querySelector('#devices').prepend(view)

  let cursor
  const socket = io(`${gateway}/notice`, {
    path,
    transports,
    forceNew: true,
    auth: (give) => give({ token: user, cursor, device: 'demo page' })
  })
  const show = (text, kind = '') => {
    state.textContent = text
    state.className = `state ${kind}`
    toggle.textContent = socket.active ? 'Go offline' : 'Go online'
  }
  socket.on('connect', () => show('online', 'up'))
  const lost = (why) => show(socket.active ? `${why}, trying again` : why, 'down')
  socket.on('disconnect', (reason) => lost(reason === 'io client disconnect' ? 'offline' : reason))
  socket.on('connect_error', (error) => lost(error.message))
  socket.on('herald:ready', (ready) => {
    cursor = ready.cursor
    line(log, undefined, `session ${ready.session.slice(0, 8)} is ready over ${socket.io.engine.transport.name}`)
  })
  socket.on('herald:gap', (gap) => line(log, undefined, `gap: ${gap.reason}`))
  socket.onAny((event, payload, meta) => {
    if (event.startsWith('herald:') || !meta?.id) return
    cursor = meta.cursor ?? cursor // a broadcast has none
    line(log, JSON.stringify(payload), `${event} · ${latency(meta)}`)
  })
  toggle.addEventListener('click', () => {
    if (socket.active) socket.disconnect()
    else socket.connect()
    show(socket.active ? 'connecting' : 'offline', socket.active ? '' : 'down')
  })
  view.querySelector('.remove').addEventListener('click', () => {
    socket.disconnect()
    view.remove()
  })
}

document.querySelector('#connect').addEventListener('submit', (event) => {
  event.preventDefault()
  const form = new FormData(event.target)
  device(form.get('user'), form.get('transport').split(','))
})

// The payload goes out as it was typed: parsing it here would round large numbers.
const body = (form) =>
  `{"userId": ${JSON.stringify(form.get('user'))}, "event": ${JSON.stringify(form.get('event'))}, "data": ${form.get('payload')}}`

function showCurl() {
  const form = new FormData(document.querySelector('#send'))
  config.then(({ notifier }) => {
    const quoted = body(form).replaceAll("'", "'\\''")
    document.querySelector('#curl').textContent =
      `curl -s ${notifier}/v1/notices -H 'content-type: application/json' -d '${quoted}'`
  })
}

document.querySelector('#send').addEventListener('input', showCurl)
document.querySelector('#send').addEventListener('submit', async (event) => {
  event.preventDefault()
  const answer = document.querySelector('#answer')
  const say = (text, bad) => {
    answer.textContent = text
    answer.className = bad ? 'bad' : ''
  }
  const form = new FormData(event.target)
  try {
    // What is no value of its own could be something else as a part of the body.
    JSON.parse(form.get('payload'))
  } catch (error) {
    return say(`payload is not JSON: ${error.message}`, true)
  }
  sending = performance.now()
  const start = sending
  try {
    const response = await fetch('/v1/notices', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: body(form)
    })
    const result = await response.json()
    if (!response.ok) return say(describe(result), true)
    remember(result.noticeId, start)
    const sessions = result.sessions?.length ?? 0
    const reach = sessions === 0 ? 'nobody is online, it waits in the inbox' : `for ${sessions} session${sessions === 1 ? '' : 's'}`
    say(`${result.outcome}: ${reach}; notice ${result.noticeId}, answered in ${ms(performance.now() - start)}`)
  } catch (error) {
    say(`not sent: ${error.message}`, true)
  } finally {
    sending = null
  }
})

function describe(error) {
  const violations = (error.details ?? []).flatMap((detail) => detail.fieldViolations ?? [])
  const fields = violations.map(({ field, description }) => `${field} ${description}`)
  return fields.length > 0 ? fields.join('; ') : error.message
}

showCurl()
// The newest is shown first.
device('bob', ['polling', 'websocket'])
device('alice', ['websocket'])
device('alice', ['polling', 'websocket'])
