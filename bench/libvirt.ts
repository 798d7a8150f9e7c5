import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { openHypervisor } from '../test/drivers/libvirt/libvirt-pair.ts';
import { PrivateLibvirt } from '../test/drivers/libvirt/private-libvirt.ts';
import { tinyVm } from '../test/fixtures/tiny-vm.ts';

/*
 * The driver beside virsh on the same libvirtd, 100 defined VMs of which some run. Figures are medians with their
 * spread; compare the ratios, as absolute times are the machine's.
 */

const VMS = 100;
const RUNNING = Number(process.env['RUNNING'] ?? 4);
const never = new AbortController().signal;

interface Figure {
  readonly median: number;
  readonly p99: number;
}

async function measure(rounds: number, work: () => Promise<unknown>): Promise<Figure> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const startedAt = performance.now();
    await work();
    times.push(performance.now() - startedAt);
  }
  times.sort((a, b) => a - b);
  const at = (part: number): number => times[Math.floor((times.length - 1) * part)] ?? 0;
  return { median: at(0.5), p99: at(0.99) };
}

const show = (what: string, { median, p99 }: Figure): void =>
  console.log(`${what.padEnd(52)} ${median.toFixed(2).padStart(9)} ms  p99 ${p99.toFixed(2)} ms`);

await using node = await PrivateLibvirt.start();
await using hypervisor = await openHypervisor(node);
await hypervisor.host.getInfo(never);
const vms = Array.from({ length: VMS }, () => tinyVm());
for (const vm of vms) await hypervisor.domains.define(vm, never);
for (const vm of vms.slice(0, RUNNING)) await hypervisor.domains.start(vm.uid, never);
await hypervisor.domains.list(never);

const list = await measure(200, () => hypervisor.domains.list(never));
const uid = vms[0]?.uid ?? '';
const find = await measure(500, () => hypervisor.domains.find(uid, never));
const missing = await measure(1000, () => hypervisor.domains.find(randomUUID(), never));
const concurrent = await measure(20, () =>
  Promise.all(Array.from({ length: 100 }, () => hypervisor.domains.find(randomUUID(), never))),
);
const virsh = (...values: readonly string[]) =>
  measure(10, async () => {
    execFileSync('virsh', ['-c', node.uri, ...values], { stdio: 'ignore' });
  });
const virshList = await virsh('domstats', '--nowait');
const virshFind = await virsh('dumpxml', uid);

show(`list of ${VMS} VMs, ${RUNNING} running, with definitions`, list);
show('virsh domstats, without definitions', virshList);
console.log(`  ratio ${(list.median / virshList.median).toFixed(3)}`);
show('find of a running VM', find);
show('virsh dumpxml', virshFind);
console.log(`  ratio ${(find.median / virshFind.median).toFixed(3)}`);
show('the cheapest call (a VM that is not there)', missing);
show('100 of them at the same time', concurrent);
console.log(`  ${Math.round(1e5 / concurrent.median)} calls a second`);
console.log(await hypervisor.diagnose(never));
