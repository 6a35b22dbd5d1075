// The real server, `herald dev`, on ports of its own.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { until } from './until.mjs';

const binary =
  process.env.HERALD_BIN ?? fileURLToPath(new URL('../../../../target/debug/herald', import.meta.url));

const LISTEN = ['gateway-listen', 'notifier-grpc-listen', 'notifier-http-listen', 'dev-listen', 'gateway-admin-listen'];

export async function server(...args) {
  if (!existsSync(binary)) {
    throw new Error(`${binary} is not there; build it (cargo build --bin herald), or say where it is in HERALD_BIN`);
  }
  const child = spawn(binary, ['dev', ...LISTEN.flatMap((name) => [`--${name}`, '127.0.0.1:0']), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const gone = new Promise((resolve) => child.once('exit', resolve));
  let log = '';
  child.stderr.on('data', (chunk) => (log += chunk));

  const { port, http } = await new Promise((resolve, reject) => {
    const found = {};
    createInterface({ input: child.stdout }).on('line', (line) => {
      log += `${line}\n`;
      found.port ??= /io\('http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      found.http ??= /^ *HTTP +(http:\/\/\S+)/.exec(line)?.[1];
      if (found.port && found.http) resolve(found);
    });
    void gone.then(() => reject(new Error(`herald dev has ended:\n${log}`)));
    setTimeout(() => reject(new Error(`herald dev says no addresses:\n${log}`)), 20_000).unref();
  });

  // Until it is ready clients are answered 503.
  await until(async () => (await fetch(`http://127.0.0.1:${port}/notice/?EIO=4&transport=polling`)).ok, 'ready');

  /** Throws unless it is done. */
  async function call(path, body) {
    const response = await fetch(`${http}/v1/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer;
  }

  return {
    port: Number(port),
    send: (userId, data, more = {}) => call('notices', { userId, data, ...more }),
    broadcast: (data, more = {}) => call('broadcast', { data, ...more }),
    async stop() {
      kill();
      await gone;
      process.off('exit', kill);
    },
  };
}
