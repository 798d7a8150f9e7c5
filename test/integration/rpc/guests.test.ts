import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { status as Code } from '@grpc/grpc-js';
import {
  FreezeGuestRequest,
  type FreezeGuestResponse,
  GetGuestRequest,
  type GetGuestResponse,
  GuestAddressSource,
  RunGuestCommandRequest,
  type RunGuestCommandResponse,
  SetGuestPasswordRequest,
  type SetGuestPasswordResponse,
  ThawGuestRequest,
  type ThawGuestResponse,
} from '../../../src/gen/novacron/agent/v1/guest.ts';
import { call, failure, RpcHarness } from './rpc-harness.ts';

let harness: RpcHarness;
before(async () => {
  harness = await RpcHarness.start();
});
after(() => harness[Symbol.asyncDispose]());

const ref = { name: 'web' };
const seconds = (count: number) => ({ seconds: BigInt(count), nanos: 0 });

test('a guest is told of with the source of each address, and why what is missing is', async () => {
  const { guests } = await harness.asRole('viewer');
  const { guest } = await call<GetGuestRequest, GetGuestResponse>(
    (request, callback) => guests.getGuest(request, callback),
    GetGuestRequest.create({ ref }),
  );
  assert.equal(guest?.operatingSystem?.prettyName, 'Debian GNU/Linux 12 (bookworm)');
  assert.equal(guest.timeZone?.offsetSeconds, -12_600);
  assert.deepEqual(
    guest.interfaces.map(({ name, source, addresses }) => [name, source, addresses[0]?.address]),
    [
      ['eth0', GuestAddressSource.GUEST_ADDRESS_SOURCE_AGENT, '192.0.2.10'],
      ['vnet0', GuestAddressSource.GUEST_ADDRESS_SOURCE_ARP, '192.0.2.10'],
    ],
  );
  assert.deepEqual(guest.problems, [
    { field: 'fileSystems', reason: 'GUEST_AGENT_REFUSED', message: 'The guest agent says: no' },
  ]);
  assert.equal(guest.freeze?.requestedBy, 'somebody');
});

test('a command is audited with who and what, and neither with its input nor its outputs', async () => {
  const { guests } = await harness.asRole('operator');
  harness.logLines.length = 0;
  const request = RunGuestCommandRequest.create({
    ref,
    program: 'tool',
    args: ['--all'],
    stdin: Buffer.from('from here'),
    captureBytes: 7,
  });
  const end = await call<RunGuestCommandRequest, RunGuestCommandResponse>(
    (request, callback) => guests.runGuestCommand(request, callback),
    request,
  );
  assert.deepEqual(
    [end.pid, end.exitCode, String(end.stdout), end.stdoutTruncated, String(end.stderr)],
    [4_711n, 3, 'out\n', true, 'err\n'],
  );
  assert.deepEqual(harness.guests.runs.at(-1), {
    program: 'tool',
    args: ['--all'],
    stdin: Buffer.from('from here'),
    timeoutMs: 20_000,
    captureBytes: 7,
  });
  const audited = harness.logLines.find((line) => line['audit'] === true);
  assert.equal(audited?.['command'], '["tool","--all"]');
  assert.match(String(audited['caller']), /role\/operator|operator/);
  assert.doesNotMatch(JSON.stringify(harness.logLines), /from here|out\\\\n/);
});

test('a password stands in no log', async () => {
  const { guests } = await harness.asRole('controller');
  harness.logLines.length = 0;
  const request = SetGuestPasswordRequest.create({ ref, user: 'root', password: 'correct horse' });
  await call<SetGuestPasswordRequest, SetGuestPasswordResponse>(
    (request, callback) => guests.setGuestPassword(request, callback),
    request,
  );
  assert.equal(harness.guests.passwords.at(-1)?.password, 'correct horse');
  const refused = SetGuestPasswordRequest.create({ ref, user: 'a:b', password: 'two\nlines' });
  const failed = await failure(
    call<SetGuestPasswordRequest, SetGuestPasswordResponse>(
      (request, callback) => guests.setGuestPassword(request, callback),
      refused,
    ),
  );
  assert.equal(failed.code, Code.INVALID_ARGUMENT);
  assert.match(failed.message, /user must not hold a colon/);
  assert.doesNotMatch(JSON.stringify(harness.logLines), /correct horse|lines/);
  assert.ok(harness.logLines.some((line) => line['audit'] === true && line['user'] === 'root'));
});

test('requests of no sense are refused with each field', async () => {
  const { guests } = await harness.asRole('operator');
  const bad = [
    { program: '' },
    { program: 'a\nb' },
    { program: 'x'.repeat(5_000) },
    { program: 'a', args: ['b\0c'] },
    { program: 'a', args: Array.from({ length: 1_025 }, () => 'x') },
    { program: 'a', args: ['x'.repeat(300_000)] },
    { program: 'a', stdin: Buffer.alloc(1024 * 1024 + 1) },
    { program: 'a', captureBytes: 1024 * 1024 + 1 },
    { program: 'a', timeout: seconds(0) },
    { program: 'a', timeout: seconds(3_601) },
    { program: 'a', ref: { name: 'No Name' } },
  ];
  for (const fields of bad) {
    const request = RunGuestCommandRequest.create({ ref, ...fields });
    const { code, message } = await failure(
      call<RunGuestCommandRequest, RunGuestCommandResponse>(
        (request, callback) => guests.runGuestCommand(request, callback),
        request,
      ),
    );
    assert.equal(code, Code.INVALID_ARGUMENT, message);
    assert.match(message, /^Cannot run a program in a guest: /);
  }
  const freeze = FreezeGuestRequest.create({ ref, timeout: seconds(601) });
  const { code, message } = await failure(
    call<FreezeGuestRequest, FreezeGuestResponse>(
      (request, callback) => guests.freezeGuest(request, callback),
      freeze,
    ),
  );
  assert.equal(code, Code.INVALID_ARGUMENT);
  assert.match(message, /timeout must be from 1s to 600s/);
});

test('a freeze names who has asked for it, and its end', async () => {
  const { guests } = await harness.asRole('operator');
  const request = FreezeGuestRequest.create({ ref, timeout: seconds(30) });
  const { fileSystems, freeze } = await call<FreezeGuestRequest, FreezeGuestResponse>(
    (request, callback) => guests.freezeGuest(request, callback),
    request,
  );
  assert.equal(fileSystems, 2);
  assert.equal(freeze?.deadline?.seconds, 30n);
  assert.equal(harness.guests.freezes.at(-1)?.timeoutMs, 30_000);
  const thawed = await call<ThawGuestRequest, ThawGuestResponse>(
    (request, callback) => guests.thawGuest(request, callback),
    ThawGuestRequest.create({ ref }),
  );
  assert.equal(thawed.fileSystems, 2);
});
