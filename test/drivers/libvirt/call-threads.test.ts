import assert from 'node:assert/strict';
import { closeSync, readdirSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import koffi from 'koffi';
import { encodeCall, parsePrototype } from '../../../src/drivers/libvirt/c-call.ts';
import { type CallThread, CallThreads } from '../../../src/drivers/libvirt/call-threads.ts';
import { loadLibvirt } from '../../../src/drivers/libvirt/native.ts';
import { until } from '../../fixtures/until.ts';

const library = loadLibvirt();
assert.equal(library.initialize(), 0);
const threads = new CallThreads({
  resetLastError: library.addressOf('virResetLastError'),
  getLastError: library.addressOf('virGetLastError'),
  getUuid: library.addressOf('virDomainGetUUIDString'),
  runEventLoop: library.addressOf('virEventRunDefaultImpl'),
  onEvent: () => undefined,
  onLoopFailed: () => undefined,
});
const libc = koffi.load('libc.so.6');
const READ = parsePrototype('int read(int fd, void *to, unsigned long bytes)');

/** Waits in C until there is a byte. */
function readIn(thread: CallThread, fd: number) {
  return thread.call(encodeCall(libc.symbol('read'), READ, [fd, Buffer.alloc(1), 1]));
}

/** The ends of a pipe that block. */
function pipe(): readonly [number, number] {
  const ends = new Int32Array(2);
  assert.equal(libc.func('int pipe(void *ends)')(ends), 0);
  return [ends[0] ?? -1, ends[1] ?? -1];
}

function threadsOfProcess(): number {
  return readdirSync('/proc/self/task').length;
}

async function openTestDriver(thread: CallThread) {
  const libvirt = library.on(thread);
  const pointer = await libvirt.open('test:///default');
  assert.ok(pointer);
  return { libvirt, pointer };
}

test('each thread has the error of its own calls, however many fail at once', async () => {
  await Promise.all(
    Array.from({ length: 32 }, async (_, index) => {
      const thread = threads.start();
      const { libvirt, pointer } = await openTestDriver(thread);
      for (let round = 0; round < 20; round += 1) {
        const type = `none-${index}-${round}`;
        assert.equal(
          await libvirt.define(
            pointer,
            `<domain type="test"><name>a</name><memory unit="${type}">1</memory><os><type>hvm</type></os></domain>`,
            0,
          ),
          null,
        );
        assert.ok(libvirt.lastError()?.message.includes(type), libvirt.lastError()?.message);
        const domain = await libvirt.lookupByName(pointer, 'test');
        assert.ok(domain);
        assert.equal(libvirt.lastError(), undefined);
        libvirt.freeDomain(domain);
      }
      await libvirt.close(pointer);
      thread.end();
    }),
  );
});

test('calls that block hold up neither each other nor the files of this process', async () => {
  const [from, to] = pipe();
  const all = Array.from({ length: 16 }, () => threads.start());
  const waiting = all.map((thread) => readIn(thread, from));
  // More than Node has threads for.
  await Promise.all(Array.from({ length: 50 }, () => readFile('/proc/self/stat')));
  const quick = threads.start();
  const another = pipe();
  writeSync(another[1], 'x');
  await readIn(quick, another[0]);
  writeSync(to, 'x'.repeat(all.length));
  for (const { word } of await Promise.all(waiting)) assert.equal(word, 1n);
  for (const thread of [quick, ...all]) thread.end();
  for (const fd of [from, to, ...another]) closeSync(fd);
});

test('a thread that is ended goes, and makes no more calls', async () => {
  const all = Array.from({ length: 8 }, () => threads.start());
  const withThem = threadsOfProcess();
  const [from, to] = pipe();
  const waiting = readIn(all[0] ?? threads.start(), from);
  // The first ends after its call.
  for (const thread of all) thread.end();
  await until('those that wait are gone', () => threadsOfProcess() <= withThem - 7);
  writeSync(to, 'x');
  await waiting;
  await until('all are gone', () => threadsOfProcess() <= withThem - 8);
  await assert.rejects(async () => all[1] && readIn(all[1], from), /has ended/);
  for (const fd of [from, to]) closeSync(fd);
});

test('a large answer comes whole', async () => {
  const thread = threads.start();
  const { libvirt, pointer } = await openTestDriver(thread);
  const description = 'ü'.repeat(500_000);
  const xml = `<domain type='test'><name>large</name><description>${description}</description><memory>8192</memory><os><type>hvm</type></os></domain>`;
  const domain = await libvirt.define(pointer, xml, 0);
  assert.ok(domain, libvirt.lastError()?.message);
  assert.ok((await libvirt.getXml(domain, 0))?.includes(description));
  libvirt.freeDomain(domain);
  await libvirt.close(pointer);
  thread.end();
});
