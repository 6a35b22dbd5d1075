// A real browser with one page: one that runs somewhere, or HTML of the test's, which is served
// from an origin of its own.
//
// { chromium, url } or { chromium, html }
// says: page {url} · console {level, text} · pageerror {message} · after each command done {value}
//       or failed {message}
// obeys: click {selector} · fill {selector, value} · evaluate {code} · screenshot {path}

import { createServer } from 'node:http';
import { chromium } from 'playwright-core';
import { config, obey, say } from './lib/lines.mjs';

const HTML = `<!doctype html><meta charset="utf-8"><title>another origin</title><link rel="icon" href="data:,">`;

async function serve(html) {
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/' ? 200 : 404, { 'content-type': 'text/html; charset=utf-8' });
    response.end(request.url === '/' ? HTML + html : '');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${server.address().port}/`;
}

const browser = await chromium.launch({
  executablePath: config.chromium,
  timeout: 60_000,
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
const tab = await browser.newPage({ viewport: { width: 1280, height: 900 } });
tab.setDefaultTimeout(20_000);
tab.on('console', (message) => say('console', { level: message.type(), text: message.text() }));
tab.on('pageerror', (error) => say('pageerror', { message: error.message }));

// One after the other, as they were given.
let last = Promise.resolve();
const command = (act) => (given) => {
  last = last.then(async () => {
    try {
      const value = await act(given);
      say('done', { value: value ?? null });
    } catch (error) {
      say('failed', { message: error.message });
    }
  });
};
obey(
  {
    click: command(({ selector }) => tab.locator(selector).click()),
    fill: command(({ selector, value }) => tab.locator(selector).fill(value)),
    evaluate: command(({ code }) => tab.evaluate(code)),
    screenshot: command(async ({ path }) => void (await tab.screenshot({ path, fullPage: true }))),
  },
  () => browser.close(),
);

const url = config.url ?? (await serve(config.html));
await tab.goto(url);
say('page', { url });
