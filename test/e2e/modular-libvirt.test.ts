import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { test } from 'node:test';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { connectAgent, createDemoVm } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import { MigrationPhase } from '../../src/client/api.ts';
import { followMigration } from '../../src/client/watches.ts';

// As on a host with a daemon for each driver: the same protocol at a socket of another name.
test('a VM migrates between nodes of which only virtqemud has a socket, with nothing configured', async ({
  signal,
}) => {
  await using lab = await Lab.create({ nodes: ['a', 'b'] }, signal);
  for (const node of lab.nodes) {
    const socket = node.outside('run/libvirt/libvirt-sock');
    await rename(socket, node.outside('run/libvirt/virtqemud-sock'));
  }
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  const guest = await ensureDemoGuest(signal);
  using client = await connectAgent(lab.node('a'));
  await createDemoVm(
    client,
    { name: 'demo', guest, parameters: 'demo.region=32M', memory: '256Mi' },
    signal,
  );
  const id = '5f3d2c10-9a7b-4c1e-8d2f-000000000033';
  await client.migrations.start(
    id,
    { virtualMachine: { name: 'demo' }, destination: { nodeName: 'b' } },
    { signal },
  );
  const [last] = (await Array.fromAsync(followMigration(client, id, { signal }))).slice(-1);
  assert.equal(
    last?.status?.phase,
    MigrationPhase.MIGRATION_PHASE_COMPLETED,
    last?.status?.message,
  );
});
