import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ConsoleLogFile } from '../../../../src/drivers/console-log/console-log-file.ts';

const never = new AbortController().signal;

async function folder(): Promise<{ log: string } & AsyncDisposable> {
  const directory = await mkdtemp(path.join(tmpdir(), 'console-'));
  return {
    log: path.join(directory, 'vm.log'),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}

async function readAll(log: string, tailBytes: number): Promise<string> {
  const pieces = await Array.fromAsync(
    new ConsoleLogFile().read(log, { tailBytes, followUntil: undefined }, never),
  );
  return Buffer.concat(pieces).toString();
}

test('older parts come before the current one', async () => {
  await using place = await folder();
  await writeFile(`${place.log}.1`, 'one ');
  await writeFile(`${place.log}.0`, 'two ');
  await writeFile(place.log, 'three');
  assert.equal(await readAll(place.log, 0), 'one two three');
});

test('the tail may reach into an older part', async () => {
  await using place = await folder();
  await writeFile(`${place.log}.0`, 'one two ');
  await writeFile(place.log, 'three');
  assert.equal(await readAll(place.log, 9), 'two three');
  assert.equal(await readAll(place.log, 3), 'ree');
});

test('a log that is not there is empty', async () => {
  await using place = await folder();
  assert.equal(await readAll(place.log, 0), '');
});

test('following goes on with new output, also in the file that follows after a rotation', async () => {
  await using place = await folder();
  await writeFile(place.log, 'a');
  const controller = new AbortController();
  let text = '';
  await assert.rejects(async () => {
    const reading = new ConsoleLogFile().read(
      place.log,
      { tailBytes: 0, followUntil: never },
      controller.signal,
    );
    for await (const piece of reading) {
      text += Buffer.from(piece).toString();
      if (text === 'a') await appendFile(place.log, 'b');
      if (text === 'ab') {
        await appendFile(place.log, 'c');
        await rename(place.log, `${place.log}.0`);
        await writeFile(place.log, 'd');
      }
      if (text === 'abcd') controller.abort(new Error('enough'));
    }
  }, /enough/);
  assert.equal(text, 'abcd');
});

test('following ends when it is said to, after what was written before', async () => {
  await using place = await folder();
  await writeFile(place.log, 'a');
  const over = new AbortController();
  const options = { tailBytes: 0, followUntil: over.signal };
  let text = '';
  for await (const piece of new ConsoleLogFile().read(place.log, options, never)) {
    text += Buffer.from(piece).toString();
    if (text !== 'a') continue;
    await appendFile(place.log, 'b');
    over.abort();
  }
  assert.equal(text, 'ab');
});

test('following a log that is not there ends when it is said to', async () => {
  await using place = await folder();
  const over = new AbortController();
  const options = { tailBytes: 0, followUntil: over.signal };
  const next = new ConsoleLogFile().read(place.log, options, never).next();
  over.abort();
  assert.deepEqual(await next, { done: true, value: undefined });
});
