import { nodeOperations } from '../../src/agent/node/node-operations.ts';
import { OperationBook } from '../../src/agent/operations/operation-book.ts';
import { OperationController } from '../../src/agent/operations/operation-controller.ts';
import { OperationManager } from '../../src/agent/operations/operation-manager.ts';
import { OperationSecrets } from '../../src/agent/operations/operation-secrets.ts';
import { OperationStore } from '../../src/agent/operations/operation-store.ts';
import type { OperationWork } from '../../src/agent/operations/operation-work.ts';
import type { Origins } from '../../src/agent/reports/report.ts';
import { adoptOperation } from '../../src/agent/vms/adopt-operation.ts';
import { HookSteps } from '../../src/agent/vms/hook-steps.ts';
import { mediaOperations } from '../../src/agent/vms/media-operations.ts';
import type { VmRef } from '../../src/agent/vms/vm.ts';
import { vmOperations } from '../../src/agent/vms/vm-operations.ts';
import { createLogger } from '../../src/core/logger.ts';

import type { FakeNodeService } from './fake-node-service.ts';

import { FakePrivateFiles } from './fake-private-files.ts';

import type { FakeVmService } from './fake-vm-service.ts';
import { MemoryJournal } from './memory-journal.ts';

const never = new AbortController().signal;

const NO_MIGRATION: OperationWork = {
  firstStep: 'migrating',
  admit: () => Promise.reject(new Error('There are no migrations here')),
  step: () => Promise.reject(new Error('There are no migrations here')),
};

const NO_HOOKS = {
  runs: {
    advance: () => ({ kind: 'ended', failure: undefined }) as const,
    hasBegun: () => false,
  },
  definitionOf: () => undefined,
  noteStartFailure: () => {},
};

/** Real operations of VMs and a node that are not: each is done as soon as it is asked for, without a reconciler. */
export async function promptOperations(
  vms: FakeVmService,
  node: FakeNodeService,
  origins: Origins,
  journal = new MemoryJournal(),
): Promise<OperationManager> {
  const media = {
    plan: async (ref: VmRef) => {
      const vm = await vms.assertCan('eject', ref);
      return { vm, definition: vm.definition, isDone: false };
    },
    change: async () => true,
  };
  const book = await OperationBook.load(new OperationStore(journal.database), origins);
  const works = {
    ...vmOperations(vms, new HookSteps(NO_HOOKS)),
    ...mediaOperations(media),
    adopt: adoptOperation({
      adopt: (request, _options, signal) => vms.planAdoption(request, signal),
      resume: () => Promise.resolve(undefined),
    }),
    ...nodeOperations(node, () => undefined),
    migrate: NO_MIGRATION,
  };
  const log = createLogger('silent');
  const secrets = new OperationSecrets({ privateFiles: new FakePrivateFiles(), openIds: [], log });
  const controller = new OperationController({ book, works, secrets, log });
  return new OperationManager({
    book,
    works,
    controller,
    secrets,
    wake: (vmUid) => void controller.reconcile(vmUid, never).catch(() => undefined),
    cancelMigration: () => Promise.reject(new Error('There are no migrations here')),
    migrationOf: () => undefined,
    log,
    origins,
  });
}
