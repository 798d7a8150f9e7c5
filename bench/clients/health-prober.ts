import { setTimeout as sleep } from 'node:timers/promises';
import { HealthCheckRequest } from '../../src/gen/grpc/health/v1/health.ts';
import { callRaw, openClients, type Target } from '../measure/raw-calls.ts';

/* Asks an agent for its health every so often, whether or not it has answered before, and prints how long each answer took. */

const EVERY_MS = 20;

const { target, seconds } = JSON.parse(process.argv[2] ?? '') as {
  readonly target: Target;
  readonly seconds: number;
};
const check = {
  path: '/grpc.health.v1.Health/Check',
  request: Buffer.from(HealthCheckRequest.encode({ service: '' }).finish()),
};
const [client] = openClients(target, 1);
if (client === undefined) throw new Error('No connection');
await callRaw(client, check);

const times: number[] = [];
let failures = 0;
const answered: Promise<void>[] = [];
const end = performance.now() + seconds * 1_000;
for (let due = performance.now(); due < end; due += EVERY_MS) {
  await sleep(Math.max(0, due - performance.now()));
  answered.push(ask());
}
await Promise.all(answered);
console.log(JSON.stringify({ times, failures }));
client.close();

async function ask(): Promise<void> {
  const before = performance.now();
  const code = await callRaw(client as NonNullable<typeof client>, check);
  if (code === 0) times.push(performance.now() - before);
  else failures += 1;
}
