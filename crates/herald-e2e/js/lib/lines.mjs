// How the scripts talk with the test: the first argument is a JSON object, what happens is said in
// lines of JSON, commands come in lines of JSON, and the end of standard input is the end.

import { createInterface } from 'node:readline';

/** What the test wants, from the command line. */
export const config = JSON.parse(process.argv[2]);

/** Says what happened. */
export function say(type, fields = {}) {
  process.stdout.write(JSON.stringify({ type, ...fields }) + '\n');
}

/** Hands each command to the function named by its `do`; runs `end` when there are no more. */
export function obey(commands, end) {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const command = JSON.parse(line);
    commands[command.do](command);
  });
  lines.on('close', async () => {
    await end();
    process.exit(0);
  });
}
