import type { Freeze } from '../../src/agent/guests/freeze-book.ts';
import type {
  FreezeRequest,
  Guest,
  GuestRun,
  GuestRunEnd,
  GuestService,
} from '../../src/agent/guests/guest.ts';
import type { VmRef } from '../../src/agent/vms/vm.ts';
import type { AgentError } from '../../src/core/errors.ts';
import type { GuestPassword } from '../../src/drivers/hypervisor-guest-agent.ts';
import { VM_UID } from './fake-vm-service.ts';

/** A guest for the edge: remembers what it was asked, and answers always the same. */
export class FakeGuestService implements GuestService {
  readonly runs: GuestRun[] = [];
  readonly passwords: GuestPassword[] = [];
  readonly freezes: FreezeRequest[] = [];
  /** The next call fails with it. */
  failNext: AgentError | undefined;

  async get(ref: VmRef): Promise<Guest> {
    this.#failIfAsked();
    return {
      vm: { ...ref, uid: VM_UID },
      isConnected: true,
      facts: {
        os: {
          value: {
            id: 'debian',
            name: 'Debian GNU/Linux',
            prettyName: 'Debian GNU/Linux 12 (bookworm)',
            version: '12 (bookworm)',
            kernelRelease: '6.1.0',
            machine: 'x86_64',
          },
          problem: undefined,
        },
        hostname: { value: 'web', problem: undefined },
        timeZone: { value: { name: 'NST', offsetSeconds: -12_600 }, problem: undefined },
        users: { value: [{ name: 'root', domain: '', loginAtMs: 1_000 }], problem: undefined },
        fileSystems: {
          value: undefined,
          problem: { reason: 'GUEST_AGENT_REFUSED', message: 'The guest agent says: no' },
        },
      },
      addresses: [
        {
          source: 'agent',
          value: [
            {
              name: 'eth0',
              macAddress: '52:54:00:00:00:01',
              addresses: [{ address: '192.0.2.10', prefixLength: 24 }],
            },
          ],
          problem: undefined,
        },
        {
          source: 'arp',
          value: [
            {
              name: 'vnet0',
              macAddress: '52:54:00:00:00:01',
              addresses: [{ address: '192.0.2.10', prefixLength: 0 }],
            },
          ],
          problem: undefined,
        },
      ],
      freeze: { fileSystems: undefined, requestedBy: 'somebody', deadlineMs: 60_000 },
    };
  }

  async run(_ref: VmRef, run: GuestRun): Promise<GuestRunEnd> {
    this.#failIfAsked();
    this.runs.push(run);
    return {
      pid: 4_711,
      exitCode: 3,
      signal: undefined,
      stdout: Buffer.from('out\n'),
      stderr: Buffer.from('err\n'),
      isStdoutCut: true,
      isStderrCut: false,
    };
  }

  async setPassword(_ref: VmRef, password: GuestPassword): Promise<void> {
    this.#failIfAsked();
    this.passwords.push(password);
  }

  async freeze(_ref: VmRef, request: FreezeRequest): Promise<Freeze> {
    this.#failIfAsked();
    this.freezes.push(request);
    return { fileSystems: 2, requestedBy: request.requestedBy, deadlineMs: request.timeoutMs };
  }

  async thaw(): Promise<number> {
    this.#failIfAsked();
    return 2;
  }

  async syncTime(): Promise<void> {
    this.#failIfAsked();
  }

  #failIfAsked(): void {
    const error = this.failNext;
    this.failNext = undefined;
    if (error !== undefined) throw error;
  }
}
