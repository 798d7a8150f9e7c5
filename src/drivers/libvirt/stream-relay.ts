import koffi from 'koffi';
import { nativeFile } from '../../core/sibling-module.ts';

/** As stream-relay.c takes their addresses. */
const FUNCTIONS = [
  'virStreamSend',
  'virStreamRecv',
  'virStreamEventAddCallback',
  'virStreamEventUpdateCallback',
  'virStreamEventRemoveCallback',
  'virStreamAbort',
  'virStreamFree',
  'virEventAddHandle',
  'virEventUpdateHandle',
  'virEventRemoveHandle',
] as const;

export type StartRelay = (stream: bigint, isEndless: 0 | 1) => number;

/**
 * What takes over a stream of libvirt that does not block, and comes to a descriptor that its bytes go through both ways; to -1
 * if it cannot. Of an endless one is left out what nobody reads. Loaded for the first one.
 */
export function relayStarter(addressOf: (symbol: string) => bigint): StartRelay {
  let start: StartRelay | undefined;
  return (stream, isEndless) => {
    start ??= load(addressOf);
    return start(stream, isEndless);
  };
}

function load(addressOf: (symbol: string) => bigint): StartRelay {
  const library = koffi.load(nativeFile(import.meta.url, 'call-threads.so', '../../../dist/agent'));
  const open = library.func('void stream_relay_open(const void *functions)');
  open(BigUint64Array.from(FUNCTIONS, addressOf));
  return library.func('int stream_relay_start(void *stream, int is_endless)');
}
