import { AgentClient } from '../../src/client/agent-client.ts';
import { timesMs } from '../measure/spread.ts';

/* A client in a process of its own: lists all VMs so often, one call after the other, and prints how long each took. */

const [address = '', rounds = ''] = process.argv.slice(2);
const signal = new AbortController().signal;
using client = await AgentClient.open({ address });
await client.vms.list({}, { signal });
const times = await timesMs(Number(rounds), () => client.vms.list({}, { signal }));
const { virtualMachines } = await client.vms.list({}, { signal });
console.log(JSON.stringify({ listed: virtualMachines.length, times }));
