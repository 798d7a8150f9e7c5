import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/* Asks an agent whether it is ready, every 10 ms, until it says so, and prints when that was. Fails after a minute. */

const PATIENCE_MS = 60_000;
/** Asked more often, it would take the agent's CPU. */
const INTERVAL_MS = 10;

const [url = ''] = process.argv.slice(2);

function isReady(): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const request = http.get(url, { agent: false }, (answer) => {
    answer.resume();
    resolve(answer.statusCode === 200);
  });
  request.once('error', () => resolve(false));
  return promise;
}

// The first call makes ready what the others use.
await isReady();
console.log('asking');
const end = performance.now() + PATIENCE_MS;
while (!(await isReady())) {
  if (performance.now() > end) throw new Error(`${url} is not ready`);
  await sleep(INTERVAL_MS);
}
console.log(Date.now());
