import { createLogger } from '../../../../src/core/logger.ts';
import type { FakeGuest } from '../../../fakes/fake-vm.ts';
import { newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';

/** A node with a VM `web` that runs, in whose guest an agent listens that does what it is asked. */
export class GuestNode implements AsyncDisposable {
  readonly node: OneNode;
  readonly uid: string;
  readonly ref: ReturnType<typeof refOf>;
  readonly guest: FakeGuest;

  private constructor(node: OneNode, uid: string, ref: ReturnType<typeof refOf>, guest: FakeGuest) {
    this.node = node;
    this.uid = uid;
    this.ref = ref;
    this.guest = guest;
  }

  static async start(options: { readonly log?: ReturnType<typeof createLogger> } = {}) {
    const node = await OneNode.open({ log: createLogger('silent'), ...options });
    const request = newRequest('web');
    await node.create(request);
    const guest = node.hypervisor.giveGuestAgent(uidOf(request));
    node.agent.run();
    return new GuestNode(node, uidOf(request), refOf(request), guest);
  }

  get guests() {
    return this.node.agent.guests;
  }

  get hypervisor() {
    return this.node.hypervisor;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node[Symbol.asyncDispose]();
  }
}
