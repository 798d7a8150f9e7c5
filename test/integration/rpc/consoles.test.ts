import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type ClientDuplexStream, status as Code, type ServiceError } from '@grpc/grpc-js';
import type { VirtualMachineRef } from '../../../src/gen/novacron/agent/v1/common.ts';
import {
  ConsoleMode,
  type OpenConsoleRequest,
  type OpenConsoleResponse,
  type OpenDisplayRequest,
  type OpenDisplayResponse,
  SendKeysRequest,
} from '../../../src/gen/novacron/agent/v1/console.ts';
import { call, RpcHarness, readFailure, until } from './rpc-harness.ts';

let harness: RpcHarness;
let local: ReturnType<RpcHarness['clients']>;
before(async () => {
  harness = await RpcHarness.start();
  local = harness.clients();
});
after(() => harness[Symbol.asyncDispose]());

const ref: VirtualMachineRef = { namespace: '', name: 'web', uid: '' };

function start(mode: ConsoleMode = ConsoleMode.CONSOLE_MODE_WRITE): OpenConsoleRequest {
  return { request: { $case: 'start', value: { ref, mode, scrollbackBytes: 0 } } };
}

function input(text: string): OpenConsoleRequest {
  return { request: { $case: 'input', value: Buffer.from(text) } };
}

/** What comes by a call, and how it ends. */
function follow<Request, Response>(stream: ClientDuplexStream<Request, Response>) {
  const responses: Response[] = [];
  const { promise, resolve } = Promise.withResolvers<ReturnType<typeof readFailure> | undefined>();
  stream.on('data', (response: Response) => responses.push(response));
  stream.on('end', () => resolve(undefined));
  stream.on('error', (error: ServiceError) => resolve(readFailure(error)));
  return { responses, ended: promise };
}

function textOf(responses: readonly OpenConsoleResponse[]): string {
  return responses
    .map(({ response }) => (response?.$case === 'output' ? response.value.toString() : ''))
    .join('');
}

test('both sides of a console go on sending, and it ends without an error', async () => {
  const stream = local.consoles.openConsole();
  const { responses, ended } = follow(stream);
  stream.write(start());
  await until(() => responses[0]?.response?.$case === 'opened');
  for (const text of ['one ', 'two ', 'three']) stream.write(input(text));
  await until(() => textOf(responses) === 'one two three');
  stream.write(input('bye'));
  assert.equal(await ended, undefined);
  await until(() => harness.consoles.open === 0 && harness.server.runningCalls === 0);
});

test('closing the sending half ends the typing, not the console', async () => {
  const stream = local.consoles.openConsole();
  const { responses, ended } = follow(stream);
  stream.write(start());
  stream.write(input('typed '));
  stream.end();
  await until(() => textOf(responses) === 'typed ');
  for (const text of ['still', ' there']) {
    await setImmediate();
    harness.consoles.say(text);
  }
  await until(() => textOf(responses) === 'typed still there');
  stream.cancel();
  assert.equal((await ended)?.code, Code.CANCELLED);
  await until(() => harness.consoles.open === 0 && harness.server.runningCalls === 0);
});

test('a caller who has said all at once is answered, and the call ends', async () => {
  const stream = local.consoles.openConsole();
  const { responses, ended } = follow(stream);
  for (const request of [start(), input('hello'), input('bye')]) stream.write(request);
  stream.end();
  assert.equal(await ended, undefined);
  assert.equal(textOf(responses), 'hello');
  await until(() => harness.consoles.open === 0 && harness.server.runningCalls === 0);
});

test('a caller who goes away leaves nothing open', async () => {
  const stream = local.consoles.openConsole();
  const { responses, ended } = follow(stream);
  stream.write(start());
  await until(() => responses.length > 0);
  stream.cancel();
  await ended;
  await until(() => harness.consoles.open === 0 && harness.server.runningCalls === 0);
});

test('what does not fit is refused with its field', async () => {
  const tooMuch = Buffer.alloc(64 * 1024 + 1);
  const cases: readonly (readonly [readonly OpenConsoleRequest[], RegExp])[] = [
    [[input('x')], /start is required/],
    [[{ request: undefined }], /start is required/],
    [[], /start is required/],
    [[start(ConsoleMode.CONSOLE_MODE_UNSPECIFIED)], /start\.mode must be given/],
    [[start(9 as ConsoleMode)], /start\.mode has the unknown value 9/],
    [[start(), start()], /input is required/],
    [[start(), input('')], /input must have 1 to 65536 bytes/],
    [[start(), { request: { $case: 'input', value: tooMuch } }], /input must have 1 to 65536/],
    [[start(ConsoleMode.CONSOLE_MODE_READ), input('x')], /it was opened to read/],
  ];
  for (const [requests, problem] of cases) {
    const stream = local.consoles.openConsole();
    const { ended } = follow(stream);
    for (const request of requests) stream.write(request);
    if (requests.length === 0) stream.end();
    const failure = await ended;
    assert.equal(failure?.reason, 'INVALID_REQUEST');
    assert.match(failure?.message ?? '', problem);
  }
  await until(() => harness.consoles.open === 0 && harness.server.runningCalls === 0);
});

test('a display carries bytes both ways, and ends with its sending half', async () => {
  const stream: ClientDuplexStream<OpenDisplayRequest, OpenDisplayResponse> =
    local.consoles.openDisplay();
  const { responses, ended } = follow(stream);
  stream.write({ request: { $case: 'ref', value: ref } });
  stream.write({ request: { $case: 'data', value: Buffer.from('RFB') } });
  await until(() => responses.length === 2);
  const last = responses[1]?.response;
  assert.equal(last?.$case === 'data' && last.value.toString(), 'RFB');
  stream.end();
  assert.equal(await ended, undefined);
  await until(() => harness.consoles.open === 0 && harness.server.runningCalls === 0);
});

test('keys are pressed by name, and one that there is not is named', async () => {
  await call(
    local.consoles.sendKeys.bind(local.consoles),
    SendKeysRequest.create({ ref, keys: ['ctrl', 'alt', 'Delete', '99'] }),
  );
  assert.deepEqual(harness.consoles.calls.at(-1)?.argument, {
    ref: { namespace: 'default', name: 'web', uid: undefined },
    codes: [29, 56, 111, 99],
  });
  for (const [keys, problem] of [
    [['ctrl', 'delet'], /keys\[1\] is no key: delet/],
    [[], /keys must be from 1 to 16/],
    [Array<string>(17).fill('a'), /keys must be from 1 to 16/],
  ] as const) {
    const sending = call(
      local.consoles.sendKeys.bind(local.consoles),
      SendKeysRequest.create({ ref, keys: [...keys] }),
    );
    await assert.rejects(sending, (error: ServiceError) => problem.test(error.details));
  }
});

test('a viewer may neither see a console nor type on one', async () => {
  const { consoles } = await harness.asRole('viewer');
  const stream = consoles.openConsole();
  const { ended } = follow(stream);
  stream.write(start(ConsoleMode.CONSOLE_MODE_READ));
  assert.equal((await ended)?.reason, 'PERMISSION_DENIED');
});

test('who has a console open, and how, is in the audit log when it begins', async () => {
  harness.logLines.length = 0;
  const { consoles } = await harness.asRole('operator');
  const stream = consoles.openConsole();
  const { responses, ended } = follow(stream);
  stream.write(start(ConsoleMode.CONSOLE_MODE_TAKE_OVER));
  await until(() => responses.length > 0);
  const line = harness.logLines.find(({ msg }) => msg === 'Change requested');
  assert.equal(line?.['caller'], 'spiffe://novacron/role/operator');
  assert.equal(line?.['mode'], 'take-over');
  stream.cancel();
  await ended;
});
