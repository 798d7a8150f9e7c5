import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { cpus, hostname, release, totalmem } from 'node:os';
import { test } from 'node:test';
import { LinuxHost } from '../../../src/drivers/linux/linux-host.ts';

test('the facts are those of this host', async () => {
  const host = new LinuxHost();
  const facts = await host.readFacts(AbortSignal.timeout(10_000));
  assert.equal(facts.cpus, cpus().length);
  assert.equal(facts.memoryBytes, totalmem());
  assert.equal(facts.hostname, hostname());
  assert.equal(facts.kernelRelease, release());
  assert.equal(facts.bootId, readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const distribution = /^NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  assert.equal(facts.operatingSystem(), '');
  await host.readOperatingSystem();
  assert.ok(facts.operatingSystem().startsWith(distribution ?? 'no name'));
});
