import assert from 'node:assert/strict';
import { test } from 'node:test';
import { warnOfUnknownPeers } from '../../../../src/agent/node/peer-names.ts';
import { findSecondLibvirt } from '../../../../src/agent/node/second-libvirt.ts';

const AUTO = { uri: 'qemu:///system', libvirtSocket: 'auto' };
const host = (sockets: readonly string[], daemons: readonly string[]) => ({
  isSocket: async (path: string) => sockets.includes(path),
  isRunning: async (name: string) => daemons.includes(name),
});
const BOTH = ['/run/libvirt/virtqemud-sock', '/run/libvirt/libvirt-sock'];

test('two libvirt daemons for the VMs of one host are warned of, with the one that the agent goes to', async () => {
  const said = await findSecondLibvirt(AUTO, host(BOTH, ['libvirtd']));
  assert.match(
    said ?? '',
    /^Both libvirtd and virtqemud .* goes to \/run\/libvirt\/virtqemud-sock.*doctor/,
  );
});

test('one daemon, the proxy of another, or a socket that is named is no reason to warn', async () => {
  for (const [place, others] of [
    [AUTO, host(BOTH.slice(1), ['libvirtd'])],
    [AUTO, host(BOTH, ['virtqemud', 'virtproxyd'])],
    [{ ...AUTO, libvirtSocket: BOTH[1] ?? '' }, host(BOTH, ['libvirtd'])],
  ] as const) {
    assert.equal(await findSecondLibvirt(place, others), undefined);
  }
  assert.equal(await findSecondLibvirt({ ...AUTO, libvirtSocket: '/nowhere' }), undefined);
});

test('peers whose names nothing resolves are warned of; addresses are not looked up', async () => {
  const lines: unknown[] = [];
  const asked: string[] = [];
  const resolve = async (name: string) => {
    asked.push(name);
    if (name === 'nowhere') throw new Error('ENOTFOUND');
  };
  await warnOfUnknownPeers(
    { b: 'nowhere:7443', c: 'there:7443', d: '10.0.0.1:7443', e: '[fd00::1]:7443' },
    { warn: (fields: unknown) => void lines.push(fields) },
    new AbortController().signal,
    resolve,
  );
  assert.deepEqual(asked, ['nowhere', 'there']);
  const toDo = 'look with getent hosts nowhere; correct peers.b, or name its IP address there';
  assert.deepEqual(lines, [{ peer: 'b', address: 'nowhere:7443', toDo }]);
});

test('a name server that never answers holds up no end of the agent, and one look at a time', async () => {
  const stop = new AbortController();
  let asked = 0;
  const resolve = () => {
    asked += 1;
    return new Promise<never>(() => {});
  };
  const log = { warn: () => assert.fail('nothing is known of it') };
  const peers = { b: 'one:7443', c: 'two:7443' };
  const looking = warnOfUnknownPeers(peers, log, stop.signal, resolve);
  stop.abort(new Error('enough'));
  await assert.rejects(looking, /enough/);
  assert.equal(asked, 1);
});
