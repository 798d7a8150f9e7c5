import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError, hasReason } from '../../../../src/core/errors.ts';
import { until } from '../../../fixtures/until.ts';
import { never } from '../vms/one-node.ts';
import { GuestNode } from './guest-node.ts';

const RUN = {
  program: 'tool',
  args: ['-v', 'a b'],
  stdin: Buffer.from('in'),
  timeoutMs: 10_000,
  captureBytes: 4,
};

test('a program is run by a shell that bounds its outputs, and what is beyond is cut and said', async () => {
  await using on = await GuestNode.start();
  on.guest.runs = () => ({
    exitCode: 7,
    stdout: Buffer.from('12345'),
    stderr: Buffer.from('1234'),
  });
  const end = await on.guests.run(on.ref, RUN, never);
  assert.deepEqual(
    [end.exitCode, String(end.stdout), end.isStdoutCut, String(end.stderr), end.isStderrCut],
    [7, '1234', true, '1234', false],
  );
  const [command] = on.guest.commands;
  assert.equal(command?.words[0], '/bin/sh');
  assert.deepEqual(command?.words.slice(3), ['sh', '5', 'tool', '-v', 'a b']);
});

test('in a guest without a shell it is run directly', async () => {
  await using on = await GuestNode.start();
  on.hypervisor.fail('startCommand', new AgentError('GUEST_AGENT_REFUSED', 'No /bin/sh'));
  await on.guests.run(on.ref, RUN, never);
  assert.deepEqual(on.guest.commands[0]?.words, ['tool', '-v', 'a b']);
});

test('in Windows it is run directly', async () => {
  await using on = await GuestNode.start();
  const os = {
    id: 'mswindows',
    name: '',
    prettyName: '',
    version: '',
    kernelRelease: '',
    machine: '',
  };
  on.hypervisor.guestAgent.readFacts = async () => ({ os: { value: os, problem: undefined } });
  await on.guests.run(on.ref, RUN, never);
  assert.deepEqual(on.guest.commands[0]?.words, ['tool', '-v', 'a b']);
});

test('a program that does not end in time is named, and goes on', async () => {
  await using on = await GuestNode.start();
  on.guest.runs = () => undefined;
  await assert.rejects(on.guests.run(on.ref, { ...RUN, timeoutMs: 30 }, never), (error) => {
    assert.ok(hasReason(error, 'GUEST_COMMAND_TIMED_OUT'));
    assert.equal(error.metadata['pid'], String(on.guest.commands[0]?.pid));
    assert.match(error.message, /goes on there as process \d+/);
    return true;
  });
});

test('while the hypervisor is away, the program is waited for all the same', async () => {
  await using on = await GuestNode.start();
  on.guest.runs = () => undefined;
  const running = on.guests.run(on.ref, RUN, never);
  await until('the program runs', () => on.guest.commands.length > 0);
  on.hypervisor.disconnect();
  on.guest.runs = () => ({ exitCode: 0 });
  on.hypervisor.reconnect();
  assert.equal((await running).exitCode, 0);
});

test('while its VM is paused, or its agent does not answer, the program is waited for as well', async () => {
  await using on = await GuestNode.start();
  on.guest.runs = () => undefined;
  const running = on.guests.run(on.ref, RUN, never);
  await until('the program runs', () => on.guest.commands.length > 0);
  on.hypervisor.fail('findCommandEnd', new AgentError('GUEST_AGENT_TIMEOUT', 'It is silent'));
  await on.node.vms.suspend(on.ref, never);
  await on.node.vms.resume(on.ref, never);
  on.guest.runs = () => ({ exitCode: 0 });
  assert.equal((await running).exitCode, 0);
});

test('a VM that goes off takes its programs with it, and that is said', async () => {
  await using on = await GuestNode.start();
  on.guest.runs = () => undefined;
  const running = on.guests.run(on.ref, RUN, never);
  await until('the program runs', () => on.guest.commands.length > 0);
  await on.node.vms.destroy(on.ref, never);
  await assert.rejects(running, (error) => hasReason(error, 'VM_NOT_RUNNING'));
});

test('a guest agent that was started anew knows nothing of the program, which is an error of its own', async () => {
  await using on = await GuestNode.start();
  on.guest.runs = () => undefined;
  const running = on.guests.run(on.ref, RUN, never);
  await until('the program runs', () => on.guest.commands.length > 0);
  on.hypervisor.fail('findCommandEnd', new AgentError('GUEST_AGENT_REFUSED', 'Invalid pid'));
  await assert.rejects(running, (error) => {
    assert.ok(hasReason(error, 'GUEST_AGENT_REFUSED'));
    assert.match(error.message, /which was begun there as process \d+: /);
    return true;
  });
});

test('a caller who gives up ends the wait, and not the program', async () => {
  await using on = await GuestNode.start();
  on.guest.runs = () => undefined;
  const caller = new AbortController();
  const running = on.guests.run(on.ref, RUN, caller.signal);
  await until('the program runs', () => on.guest.commands.length > 0);
  caller.abort(new Error('enough'));
  await assert.rejects(running, /enough/);
});
