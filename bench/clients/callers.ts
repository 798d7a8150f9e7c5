import { setTimeout as sleep } from 'node:timers/promises';
import { HealthCheckRequest } from '../../src/gen/grpc/health/v1/health.ts';
import {
  GetVirtualMachineRequest,
  ListVirtualMachinesRequest,
  WatchVirtualMachinesRequest,
} from '../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { callRaw, openClients, type RawCall, type Target, watchRaw } from '../measure/raw-calls.ts';

/*
 * Many callers of one agent in one process. Of `control-plane` a quarter watch; of the rest each third lists and the others get one VM.
 * Each asks the next as soon as it is answered or, with a rate, at times of its own whether or not those before it are answered.
 */

interface Order {
  readonly target: Target;
  readonly kind: 'control-plane' | 'gets' | 'refused';
  readonly callers: number;
  readonly connections: number;
  readonly seconds: number;
  /** Of all callers together; undefined for as fast as they are answered. */
  readonly callsPerSecond?: number;
  readonly vms: number;
}

const { target, kind, callers, connections, seconds, callsPerSecond, vms } = JSON.parse(
  process.argv[2] ?? '',
) as Order;

const VMS = '/novacron.agent.v1.VirtualMachineService';
const list: RawCall = {
  path: `${VMS}/ListVirtualMachines`,
  request: Buffer.from(
    ListVirtualMachinesRequest.encode(ListVirtualMachinesRequest.create()).finish(),
  ),
};
const watch: RawCall = {
  path: `${VMS}/WatchVirtualMachines`,
  request: Buffer.from(
    WatchVirtualMachinesRequest.encode(WatchVirtualMachinesRequest.create()).finish(),
  ),
};
const getRequest = (name: string): Buffer => {
  const request = GetVirtualMachineRequest.create({ ref: { name, namespace: 'default' } });
  return Buffer.from(GetVirtualMachineRequest.encode(request).finish());
};
const gets = Array.from(
  { length: vms },
  (_, number): RawCall => ({
    path: `${VMS}/GetVirtualMachine`,
    request: getRequest(`vm-${number}`),
  }),
);
const health: RawCall = {
  path: '/grpc.health.v1.Health/Check',
  request: Buffer.from(HealthCheckRequest.encode({ service: '' }).finish()),
};

/** What no method takes, or no caller may. */
const refused: readonly RawCall[] = [
  { path: `${VMS}/NoSuchMethod`, request: Buffer.alloc(0) },
  { path: `${VMS}/GetVirtualMachine`, request: Buffer.from([0x0a, 0xff, 0xff]) },
  { path: `${VMS}/GetVirtualMachine`, request: getRequest('') },
  { path: `${VMS}/GetVirtualMachine`, request: getRequest('Not A Name') },
  { path: '/novacron.peer.v1.PeerService/PrepareIncoming', request: Buffer.alloc(0) },
];

const clients = openClients(target, connections);
const clientOf = (caller: number) => clients[caller % clients.length] as (typeof clients)[number];
await Promise.all(clients.map((client) => callRaw(client, health)));

const watchers = kind === 'control-plane' ? Math.floor(callers / 4) : 0;
const askers = Array.from({ length: callers - watchers }, (_, index) => watchers + index);
const codes: Record<number, number> = {};
const listMs: number[] = [];
let messages = 0;
const watches = Array.from({ length: watchers }, (_, caller) =>
  watchRaw(clientOf(caller), watch, () => {
    messages += 1;
  }),
);
console.log('begun');
const end = performance.now() + seconds * 1_000;
let nth = 0;

async function ask(caller: number): Promise<void> {
  nth += 1;
  const isList = kind === 'control-plane' && caller % 3 === 0;
  const singles = kind === 'refused' ? refused : gets;
  const call = isList ? list : (singles[nth % singles.length] as RawCall);
  const before = performance.now();
  const code = await callRaw(clientOf(caller), call);
  codes[code] = (codes[code] ?? 0) + 1;
  if (isList) listMs.push(Number((performance.now() - before).toFixed(2)));
}

if (callsPerSecond === undefined) {
  await Promise.all(
    askers.map(async (caller) => {
      while (performance.now() < end) await ask(caller);
    }),
  );
} else {
  const asked: Promise<void>[] = [];
  const begin = performance.now();
  for (let call = 0; performance.now() < end; call += 1) {
    const due = begin + (call * 1_000) / callsPerSecond;
    if (due > performance.now()) await sleep(due - performance.now());
    asked.push(ask(askers[call % askers.length] ?? 0));
  }
  await Promise.all(asked);
}
console.log(JSON.stringify({ codes, listMs, messages }));
for (const stream of watches) stream.cancel();
for (const client of clients) client.close();
