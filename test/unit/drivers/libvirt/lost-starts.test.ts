import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { METADATA_NAMESPACE } from '../../../../src/drivers/libvirt/domain-xml/metadata-namespace.ts';
import { forgetLostStarts } from '../../../../src/drivers/libvirt/lost-starts.ts';

const LIBVIRTD_PID = 4711;

/** What libvirt writes of a domain that it starts. */
const status = (pid: number, metadata = `<novacron:vm xmlns:novacron='${METADATA_NAMESPACE}'/>`) =>
  `<!--\nWARNING\n-->\n<domstatus state='paused' reason='starting up' pid='${pid}'>\n<domain>${metadata}</domain></domstatus>`;

/** As proc(5) has a process. */
const stat = (name: string, state: string, flags: number) =>
  `${LIBVIRTD_PID} (${name}) ${state} 1 1 1 0 -1 ${flags} 98 0`;

/** The folders that are looked at: one VM's start was lost, one runs, and one is somebody else's. */
function withFolders(libvirtd: string | undefined) {
  const folder = mkdtempSync(join(tmpdir(), 'novacron-lost-starts-'));
  const [state, proc] = [join(folder, 'qemu'), join(folder, 'proc')];
  mkdirSync(state);
  mkdirSync(join(proc, String(LIBVIRTD_PID)), { recursive: true });
  writeFileSync(join(state, 'driver.pid'), `${LIBVIRTD_PID}\n`);
  writeFileSync(join(state, 'default_lost.xml'), status(0));
  writeFileSync(join(state, 'default_runs.xml'), status(99));
  writeFileSync(join(state, 'theirs.xml'), status(0, ''));
  if (libvirtd !== undefined) writeFileSync(join(proc, String(LIBVIRTD_PID), 'stat'), libvirtd);
  return {
    forget: () => forgetLostStarts(state, proc),
    files: () => readdirSync(state).filter((name) => name.endsWith('.xml')),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}

test('a start is forgotten that libvirtd did not survive, a run is not, nor what is not ours', () => {
  using folders = withFolders(undefined);
  assert.deepEqual(folders.forget(), ['default_lost']);
  assert.deepEqual(folders.files(), ['default_runs.xml', 'theirs.xml']);
  assert.deepEqual(folders.forget(), []);
});

test('nothing is forgotten while a libvirtd runs, as it may be starting the VM', () => {
  for (const name of ['libvirtd', 'virtqemud']) {
    using folders = withFolders(stat(name, 'S', 0x400000));
    assert.deepEqual(folders.forget(), []);
    assert.equal(folders.files().length, 3);
  }
});

test('a libvirtd that is ending, or whose pid is another process, does not run', () => {
  for (const libvirtd of [
    stat('libvirtd', 'R', 0x400004),
    stat('libvirtd', 'Z', 0x400000),
    stat('a (libvirtd) b', 'S', 0x400000),
  ]) {
    using folders = withFolders(libvirtd);
    assert.deepEqual(folders.forget(), ['default_lost']);
  }
});

test('where libvirt keeps nothing there is nothing to do', () => {
  assert.deepEqual(forgetLostStarts('/nowhere'), []);
});
