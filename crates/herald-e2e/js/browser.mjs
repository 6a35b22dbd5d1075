// A real browser on a page of another origin, with a snippet of code in it.
//
// { chromium, snippet }
// says: page {url} · console {level, text} · pageerror {message}

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { config, obey, say } from './lib/lines.mjs';

const library = await readFile(createRequire(import.meta.url).resolve('socket.io-client/dist/socket.io.min.js'));
const page = `<!doctype html><meta charset="utf-8"><title>another origin</title>
<script src="/socket.io.min.js"></script>
<script>
${config.snippet}
</script>`;

const server = createServer((request, response) => {
  if (request.url === '/') {
    response.setHeader('content-type', 'text/html; charset=utf-8').end(page);
  } else if (request.url === '/socket.io.min.js') {
    response.setHeader('content-type', 'text/javascript').end(library);
  } else {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${server.address().port}/`;

const browser = await chromium.launch({
  executablePath: config.chromium,
  args: [
    // As root, and in containers, there is no sandbox; the page is our own.
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
obey({}, async () => {
  await browser.close();
  server.close();
});
const tab = await browser.newPage();
tab.on('console', (message) => say('console', { level: message.type(), text: message.text() }));
tab.on('pageerror', (error) => say('pageerror', { message: error.message }));
await tab.goto(url);
say('page', { url });
