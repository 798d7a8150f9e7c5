import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { connectAgent, findConsoleLog, watchConsole } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { type Operation, OperationState } from '../../src/client/api.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { hasReason } from '../../src/core/errors.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { driverOf } from '../e2e/two-nodes.ts';
import { signalProcess } from '../fixtures/process-signals.ts';

type Asked = Promise<{ readonly operation?: Operation | undefined }>;

/** Ends a process of the node at whatever line it is, and has it back. */
const KILLS: Readonly<Record<string, (node: LabNode, signal: AbortSignal) => Promise<void>>> = {
  'the agent': async (node, signal) => {
    await node.agent.kill(signal);
    await node.agent.launch({ source: false }, signal);
    await node.agent.waitReady(signal);
  },
  'its libvirt driver': async (node) => {
    process.kill(driverOf(node).pid, 'SIGKILL');
  },
  libvirtd: async (node, signal) => {
    signalProcess(node.libvirt.findPid(), 'SIGKILL');
    const isGone = () => node.libvirt.findPid() === undefined;
    await waitUntil('The end of libvirtd', PATIENCE_MS, isGone, signal);
    await node.libvirt.startLibvirtd(signal);
  },
};

async function answered(asking: Asked): Promise<boolean> {
  try {
    await asking;
    return true;
  } catch (error) {
    if (hasReason(error, 'HYPERVISOR_UNREACHABLE', 'HYPERVISOR_TIMEOUT', 'STATE_NOT_READY')) {
      return false;
    }
    throw error;
  }
}

for (const [victim, kill] of Object.entries(KILLS)) {
  test(`what was asked for comes about when ${victim} is killed as soon as it has answered`, async ({
    signal,
  }) => {
    const guest = await ensureDemoGuest(signal);
    await using lab = await Lab.create({ nodes: ['a'] }, signal);
    const node = lab.node('a');
    await lab.startAgents({ accelerator: 'tcg' }, signal);
    using client = await connectAgent(node);
    const { kernelPath: path, initrdPath: initrd, commandLine } = guest;
    const vmWith = (labels: Record<string, string>) =>
      toVirtualMachineMessage(
        parseVirtualMachine({
          metadata: { name: 'web', labels },
          spec: {
            runStrategy: 'Once',
            template: {
              spec: {
                resources: { cpu: 1, memory: '256Mi' },
                kernel: {
                  path,
                  initrd,
                  commandLine: `${commandLine} demo.region=32M demo.fill=16M`,
                },
              },
            },
          },
        }),
      );

    /** Asks, kills, and returns once the operation has ended. */
    const survive = async (ask: (operationId: string) => Asked): Promise<void> => {
      const id = randomUUID();
      // What was killed before may not be back yet; with its id a request is one however often it is sent.
      await waitUntil('An answer', PATIENCE_MS, () => answered(ask(id)), signal);
      await kill(node, signal);
      const ended = await waitUntil(
        'The end of the operation',
        PATIENCE_MS,
        async () => {
          try {
            const operation = await client.operations.get(id, { signal });
            return operation.endTime === undefined ? undefined : operation;
          } catch (error) {
            if (hasReason(error, 'AGENT_UNREACHABLE')) return undefined;
            throw error;
          }
        },
        signal,
      );
      assert.equal(ended.state, OperationState.OPERATION_STATE_SUCCEEDED, ended.error?.message);
    };
    const { vms } = client;
    const web = { name: 'web' };
    const stateIs = async (wanted: string): Promise<void> => {
      const found = await node.libvirt.virsh(['domstate', 'default_web'], signal);
      assert.equal(found.trim(), wanted);
    };

    await survive((operationId) => vms.create(vmWith({}), { signal, operationId }));
    await stateIs('running');
    const { metadata } = await vms.get(web, { signal });
    using console = watchConsole(node, await findConsoleLog(node, metadata?.uid ?? '', signal));
    await console.waitFor('A check', PATIENCE_MS, () => console.passes.length > 0, signal);
    await survive((operationId) => vms.shutdown(web, { signal, operationId }));
    await stateIs('shut off');
    await survive((operationId) => vms.start(web, { signal, operationId }));
    await stateIs('running');
    await survive((operationId) => vms.apply(vmWith({ tier: 'db' }), { signal, operationId }));
    assert.deepEqual((await vms.get(web, { signal })).metadata?.labels, { tier: 'db' });
    await survive((operationId) => vms.destroy(web, { signal, operationId }));
    await stateIs('shut off');
    await survive((operationId) => vms.delete(web, { signal, operationId }));
    assert.equal(await node.libvirt.virsh(['list', '--all', '--name'], signal), '');
  });
}
