import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
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
 * What is told of VMs, as it travels. A VM is encoded once for as long as nothing of it changes, as many ask for the same: most of
 * what an answer costs is the conversion of VMs.
 */
export class EncodedVms {
  readonly #bytes = new WeakMap<Vm, Uint8Array>();

  get(vm: Vm): Encoded {
    const writer = this.#put(new BinaryWriter(), FIELD.get, vm);
    const rest = { virtualMachine: undefined };
    return new Encoded(GetVirtualMachineResponse.encode(rest, writer).finish());
  }

  list({ items, origin, nextToken }: Page<Vm>): Encoded {
    const writer = new BinaryWriter();
    for (const vm of items) this.#put(writer, FIELD.list, vm);
    const rest = { virtualMachines: [], origin: toOrigin(origin), nextPageToken: nextToken };
    return new Encoded(ListVirtualMachinesResponse.encode(rest, writer).finish());
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
