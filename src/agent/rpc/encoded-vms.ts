import { isDeepStrictEqual } from 'node:util';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { GarbageCollector } from '../../core/garbage-collector.ts';
import {
  GetVirtualMachineResponse,
  ListVirtualMachinesResponse,
  VirtualMachine,
  WatchVirtualMachinesResponse,
} from '../../gen/novacron/agent/v1/virtual_machine.ts';
import type { Page } from '../reports/report.ts';
import type { Vm, VmEvent } from '../vms/vm.ts';
import { toEventType, toOrigin } from './common-conversion.ts';
import { Encoded } from './encoded.ts';
import { toVirtualMachine } from './virtual-machine-conversion.ts';

/** The numbers of the field `virtual_machine(s)` in the responses. */
const FIELD = { get: 1, list: 1, watch: 2 } as const;

/**
 * Of lists after which those are collected that were sent. They are gone at once, but V8 counts them to what is old, and would soon
 * look through all that there is to find them, at 30 ms.
 */
const COLLECT_BYTES = 2 * 1024 ** 2;
/** Since it was last asked for. Those who list often ask again within it; nobody else shall have the agent keep it. */
const KEPT_MS = 2_000;

/**
 * What is told of VMs, as it travels. A VM is encoded once for as long as nothing of it changes, as many ask for the same: most of
 * what an answer costs is the conversion of VMs.
 */
export class EncodedVms {
  readonly #bytes = new WeakMap<Vm, Uint8Array>();
  readonly #garbage: Pick<GarbageCollector, 'collectYoung'>;
  #last: { readonly page: Page<Vm>; readonly answer: Encoded } | undefined;
  #forgetting: NodeJS.Timeout | undefined;
  #listedBytes = 0;

  constructor(garbage: Pick<GarbageCollector, 'collectYoung'> = new GarbageCollector()) {
    this.#garbage = garbage;
  }

  get(vm: Vm): Encoded {
    const writer = this.#put(new BinaryWriter(), FIELD.get, vm);
    const rest = { virtualMachine: undefined };
    return new Encoded(GetVirtualMachineResponse.encode(rest, writer).finish());
  }

  list(page: Page<Vm>): Encoded {
    if (this.#last === undefined || !isSamePage(this.#last.page, page)) {
      this.#last = { page, answer: this.#encodeList(page) };
    }
    clearTimeout(this.#forgetting);
    this.#forgetting = setTimeout(() => {
      this.#last = undefined;
    }, KEPT_MS).unref();
    const { answer } = this.#last;
    this.#listedBytes += answer.bytes.length;
    if (this.#listedBytes > COLLECT_BYTES) {
      this.#listedBytes = 0;
      this.#garbage.collectYoung();
    }
    return answer;
  }

  event(event: VmEvent): Encoded {
    const writer = new BinaryWriter();
    if ('object' in event) this.#put(writer, FIELD.watch, event.object);
    const rest = {
      type: toEventType(event.type),
      virtualMachine: undefined,
      origin: toOrigin(event.origin),
      movedToNode: event.movedToNode ?? '',
    };
    return new Encoded(WatchVirtualMachinesResponse.encode(rest, writer).finish());
  }

  #encodeList({ items, origin, nextToken }: Page<Vm>): Encoded {
    const writer = new BinaryWriter();
    for (const vm of items) this.#put(writer, FIELD.list, vm);
    const rest = { virtualMachines: [], origin: toOrigin(origin), nextPageToken: nextToken };
    return new Encoded(ListVirtualMachinesResponse.encode(rest, writer).finish());
  }

  /** The fields of a message may stand in any order. */
  #put(writer: BinaryWriter, field: number, vm: Vm): BinaryWriter {
    let bytes = this.#bytes.get(vm);
    if (bytes === undefined) {
      bytes = VirtualMachine.encode(toVirtualMachine(vm)).finish();
      this.#bytes.set(vm, bytes);
    }
    return writer.tag(field, WireType.LengthDelimited).bytes(bytes);
  }
}

function isSamePage(before: Page<Vm>, now: Page<Vm>): boolean {
  return (
    before.nextToken === now.nextToken &&
    before.items.length === now.items.length &&
    before.items.every((vm, at) => vm === now.items[at]) &&
    isDeepStrictEqual(before.origin, now.origin)
  );
}
