import { AgentError } from '../../core/errors.ts';
import { keyCodeOf } from '../../core/key-names.ts';
import {
  ConsoleMode as ConsoleModeMessage,
  type ConsoleServiceService,
  type OpenConsoleRequest,
  type OpenConsoleResponse,
  type OpenDisplayRequest,
} from '../../gen/novacron/agent/v1/console.ts';
import type {
  ConsoleEvent,
  ConsoleMode,
  ConsoleService,
  OpenedConsole,
} from '../consoles/console.ts';
import type { ServiceHandlers } from './bind-service.ts';
import type { CallContext } from './call-context.ts';
import { toRef } from './common-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import { readRef } from './virtual-machine-ref.ts';

// The API's limits.
const MAX_PIECE_BYTES = 64 * 1024;
const MAX_SCROLLBACK_BYTES = 1024 * 1024;
const MAX_KEYS = 16;

const MODES: Readonly<Record<number, ConsoleMode>> = {
  [ConsoleModeMessage.CONSOLE_MODE_READ]: 'read',
  [ConsoleModeMessage.CONSOLE_MODE_WRITE]: 'write',
  [ConsoleModeMessage.CONSOLE_MODE_TAKE_OVER]: 'take-over',
};

export function consoleHandlers(consoles: ConsoleService): ServiceHandlers<ConsoleServiceService> {
  return {
    async *openConsole(requests, context) {
      const iterator = requests[Symbol.asyncIterator]();
      const { value: first } = (await iterator.next()) as { value?: OpenConsoleRequest };
      const { ref, ...how } = readStart(first?.request, context);
      using console = await consoles.openConsole(
        ref,
        { ...how, who: context.caller.identity },
        context.signal,
      );
      yield opened(console);
      using over = whileTaking(iterator, context.signal, async ({ request }, signal) => {
        const input = request?.$case === 'input' ? request.value : undefined;
        if (how.mode === 'read') throw notToType(console);
        await console.type(readPiece('input', input), signal);
      });
      for await (const event of console.events(over.signal)) {
        for (const response of toResponses(event)) yield response;
      }
    },

    async *openDisplay(requests, context) {
      const iterator = requests[Symbol.asyncIterator]();
      const { value: first } = (await iterator.next()) as { value?: OpenDisplayRequest };
      const asked = first?.request;
      const ref = readRef(asked?.$case === 'ref' ? asked.value : undefined, context);
      using display = await consoles.openDisplay(ref, context.signal);
      yield { response: { $case: 'opened', value: { ref: toRef(display.vm) } } };
      using over = whileTaking(
        iterator,
        context.signal,
        async ({ request }, signal) => {
          const data = request?.$case === 'data' ? request.value : undefined;
          await display.write(readPiece('data', data), signal);
        },
        // Whoever hangs up has seen enough.
        () => display[Symbol.dispose](),
      );
      for await (const data of display.read(over.signal)) {
        for (const piece of piecesOf(data)) yield { response: { $case: 'data', value: piece } };
      }
    },

    async getScreenshot(request, context) {
      const ref = readRef(request.ref, context);
      const { png, width, height } = await consoles.takeScreenshot(ref, context.signal);
      return { png: Buffer.from(png), width, height };
    },

    async sendKeys(request, context) {
      const checks = new FieldChecks();
      checks.integer('keys', request.keys.length, 1, MAX_KEYS);
      const codes = request.keys.map((name, index) => {
        const code = keyCodeOf(name);
        if (code === undefined) checks.add(`keys[${index}]`, `is no key: ${name.slice(0, 20)}`);
        return code ?? 0;
      });
      checks.throwIfAny('INVALID_REQUEST', 'Cannot send keys');
      // Which they are may be a password.
      context.about({ keys: codes.length });
      await consoles.sendKeys(readRef(request.ref, context), codes, context.signal);
      return {};
    },
  };
}

/** Takes what a caller goes on sending until it is disposed of; `signal` is aborted when that fails. */
function whileTaking<Request>(
  requests: AsyncIterator<Request>,
  signal: AbortSignal,
  take: (request: Request, signal: AbortSignal) => Promise<void>,
  onEnd: () => void = () => undefined,
): Disposable & { readonly signal: AbortSignal } {
  const failed = new AbortController();
  const over = new AbortController();
  const until = AbortSignal.any([signal, over.signal]);
  const takeAll = async (): Promise<void> => {
    for (;;) {
      const { value, done } = await requests.next();
      if (until.aborted) return;
      if (done === true) return onEnd();
      await take(value, until);
    }
  };
  takeAll().catch((error: unknown) => failed.abort(error));
  return {
    signal: AbortSignal.any([signal, failed.signal]),
    [Symbol.dispose]: () => over.abort(),
  };
}

function readStart(request: OpenConsoleRequest['request'], context: CallContext) {
  const checks = new FieldChecks();
  const start = request?.$case === 'start' ? request.value : undefined;
  const given = checks.required('start', start);
  const mode = checks.oneOf(
    'start.mode',
    given?.mode ?? ConsoleModeMessage.CONSOLE_MODE_READ,
    MODES,
    'read',
  );
  const scrollbackBytes = checks.integer(
    'start.scrollbackBytes',
    given?.scrollbackBytes ?? 0,
    0,
    MAX_SCROLLBACK_BYTES,
  );
  checks.throwIfAny('INVALID_REQUEST', 'Cannot open a console');
  context.about({ mode });
  return { ref: readRef(given?.ref, context), mode, scrollbackBytes };
}

function readPiece(field: string, data: Uint8Array | undefined): Uint8Array {
  const checks = new FieldChecks();
  const length = checks.required(field, data)?.length ?? 1;
  if (length < 1 || length > MAX_PIECE_BYTES) {
    checks.add(field, `must have 1 to ${MAX_PIECE_BYTES} bytes`);
  }
  checks.throwIfAny('INVALID_REQUEST', 'Cannot take what was sent');
  return data ?? new Uint8Array();
}

function notToType({ vm }: OpenedConsole): AgentError {
  return new AgentError(
    'INVALID_REQUEST',
    `Cannot type on the console of VM ${vm.name}: it was opened to read; open it to type`,
  );
}

function opened({ vm, others, otherWriter, isPaused }: OpenedConsole): OpenConsoleResponse {
  const writer = otherWriter === undefined ? undefined : { identity: otherWriter };
  const value = { ref: toRef(vm), others, writer, paused: isPaused };
  return { response: { $case: 'opened', value } };
}

function* toResponses(event: ConsoleEvent): Generator<OpenConsoleResponse, void, undefined> {
  switch (event.kind) {
    case 'output':
      for (const output of piecesOf(event.data)) {
        yield { response: { $case: 'output', value: output } };
      }
      break;
    case 'left-out':
      yield { response: { $case: 'leftOutBytes', value: BigInt(event.bytes) } };
      break;
    default:
      yield { response: { $case: 'takenOverBy', value: { identity: event.by } } };
  }
}

function* piecesOf(data: Uint8Array): Generator<Buffer, void, undefined> {
  for (let at = 0; at < data.length; at += MAX_PIECE_BYTES) {
    yield Buffer.from(data.subarray(at, at + MAX_PIECE_BYTES));
  }
}
