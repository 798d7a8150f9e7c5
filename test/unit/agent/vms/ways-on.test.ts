import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OperationKind } from '../../../../src/agent/operations/operation.ts';
import { RUN_ENDS } from '../../../../src/agent/runs/run-ends.ts';
import { PAUSES } from '../../../../src/agent/vms/vm-pauses.ts';
import { phaseOf } from '../../../../src/agent/vms/vm-phase.ts';
import { hintFor } from '../../../../src/cli/errors/hints.ts';
import { buildWholeProgram } from '../../../../src/cli/program.ts';
import { AgentError, REASONS, type Reason } from '../../../../src/core/errors.ts';
import type { VmRunState, VmStateReason } from '../../../../src/drivers/hypervisor-domains.ts';
import { FakeCliIo } from '../../../fakes/fake-cli-io.ts';
import { newFakeVm, toHypervisorVm } from '../../../fakes/fake-vm.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { withVm } from '../runs/controlled-node.ts';
import { never } from './one-node.ts';
import { runEnded, vmContext } from './vm-context.ts';

/** Every command that a text names, such as `vm resume`, and what it is given. */
function commandsIn(text: string): readonly string[][] {
  return [...text.matchAll(/novactl ((?:[\w/-]+ ?)+)/g)].map(([, words = '']) =>
    words.trim().split(' '),
  );
}

/** The path of the command in the program; fails if there is none. */
async function commandOf(words: readonly string[]): Promise<string> {
  let command = await buildWholeProgram(new FakeCliIo());
  const path: string[] = [];
  for (const word of words) {
    const next = command.commands.find((child) => child.name() === word);
    if (next === undefined) break;
    path.push(word);
    command = next;
  }
  assert.ok(path.length > 0 && command.commands.length === 0, `novactl ${words.join(' ')}`);
  return path.join(' ');
}

/** These are let be until they end; a VM whose memory is on two nodes is mended between the nodes. */
const WITHOUT_VERB: readonly VmStateReason[] = ['postcopy', 'postcopy-failed'];
const PAUSED = (Object.keys(PAUSES) as VmStateReason[]).map(
  (reason) => ['paused', reason] as const,
);
const RUNNING = (['crashed', 'booted', 'postcopy', 'postcopy-failed'] as const).map(
  (reason) => ['running', reason] as const,
);
const KINDS: Readonly<Record<string, OperationKind>> = {
  'vm start': 'start',
  'vm shutdown': 'shutdown',
  'vm destroy': 'destroy',
  'vm resume': 'resume',
  'vm reset': 'reset',
};

for (const [state, reason] of [...PAUSED, ...RUNNING]) {
  test(`what is advised for a VM that is ${state} (${reason}) exists and is accepted`, async () => {
    const { node, uid, ref } = await withVm('Once');
    await using _node = node;
    node.hypervisor.setState(uid, state, reason);
    const { message, phase } = await node.vms.get(ref, never);
    const commands = commandsIn(message);
    if (phase === 'paused' && !WITHOUT_VERB.includes(reason)) assert.ok(commands.length > 0);
    for (const words of commands) {
      const command = await commandOf(words);
      // No other VM may be hit by a name without its namespace.
      if (command.startsWith('vm ')) assert.equal(words[2], 'test/web', message);
      await assertAccepted(node, command, uid, [state, reason]);
    }
  });
}

type Node = Awaited<ReturnType<typeof withVm>>['node'];

async function assertAccepted(
  node: Node,
  command: string,
  uid: string,
  [state, reason]: readonly [VmRunState, VmStateReason],
): Promise<void> {
  const kind = KINDS[command];
  if (kind === undefined) return;
  node.hypervisor.setState(uid, state, reason);
  const vm = { namespace: 'test', name: 'web', uid };
  const asked = { id: undefined, kind, vm, parameters: {}, requestedBy: 'tester' };
  const { operation } = await node.agent.operations.submit(asked, never);
  const { operation: end } = await node.agent.operations.untilDone(
    { operation, details: undefined },
    never,
  );
  assert.equal(end.state, 'succeeded', `${command} of ${reason}`);
  if (kind === 'resume')
    assert.equal((await node.hypervisor.domains.find(uid, never))?.state, 'running');
}

test('every command that is advised for a VM that is off exists', async () => {
  const vm = toHypervisorVm(newFakeVm(tinyVm()));
  for (const cause of Object.keys(RUN_ENDS) as (keyof typeof RUN_ENDS)[]) {
    const { message } = phaseOf(
      { ...vm, state: 'stopped', stateReason: 'unknown' },
      vmContext({ run: runEnded(cause) }),
    );
    for (const words of commandsIn(message)) await commandOf(words);
  }
});

test('every command that a hint names exists', async () => {
  for (const reason of Object.keys(REASONS) as Reason[]) {
    const hint = hintFor(new AgentError(reason, 'Text')) ?? '';
    for (const words of commandsIn(hint)) await commandOf(words);
  }
});
