import { isReason } from '../../core/errors.ts';
import type {
  PeerServiceService,
  ReleaseIncomingRequest,
} from '../../gen/novacron/peer/v1/peer.ts';
import type { IncomingService, IncomingVm } from '../migration/migration.ts';
import { assertFeatures } from '../migration/protocol.ts';
import type { OwnershipService } from '../vms/vm-peers.ts';
import type { ServiceHandlers } from './bind-service.ts';
import type { CallContext } from './call-context.ts';
import { toUint32, toUint64 } from './count-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import { fromProgress, fromResult } from './figure-conversion.ts';
import { fromMarkedImages, toImageSighting } from './image-conversion.ts';
import {
  checkContents,
  fromIncomingFields,
  type IncomingFields,
  OUTCOMES,
  toIncomingReport,
  toSighting,
} from './peer-conversion.ts';
import { vmFields } from './virtual-machine-conversion.ts';

const MAX_PROTOCOL = 1_000_000;
const MAX_VERSION_BYTES = 128;
const TRANSFER_TOKEN = /^[0-9a-f]{64}$/;

export function peerHandlers(
  incoming: IncomingService,
  ownership: OwnershipService,
): ServiceHandlers<PeerServiceService> {
  return {
    async handshake(request, context) {
      const checks = new FieldChecks();
      const { protocolMin, protocolMax } = request;
      checks.integer('protocolMin', protocolMin, 1, MAX_PROTOCOL);
      checks.integer('protocolMax', protocolMax, protocolMin, MAX_PROTOCOL);
      const agentVersion = checks.text('agentVersion', request.agentVersion, MAX_VERSION_BYTES);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot shake hands');
      const answer = await incoming.handshake(
        { protocolMin, protocolMax, agentVersion, requiredFeatures: request.requiredFeatures },
        context.signal,
      );
      return {
        ...answer,
        protocol: toUint32(answer.protocol),
        features: [...answer.features],
      };
    },

    async checkIncoming(request, context) {
      const vm = readIncoming(request, new FieldChecks(), context);
      const blockers = await incoming.check(vm, context.caller.nodeName, context.signal);
      return { blockers: blockers.map((blocker) => ({ ...blocker })) };
    },

    async compareImages(request, context) {
      const checks = new FieldChecks();
      readVmUid(request, checks, context);
      const places = fromMarkedImages(request.images, checks);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot compare images');
      const found = await incoming.compareImages(places, context.signal);
      return { images: found.map(toImageSighting) };
    },

    async prepareIncoming(request, context) {
      const checks = new FieldChecks();
      const migrationId = checks.uuid('migrationId', request.migrationId);
      const { transferToken } = request;
      if (!TRANSFER_TOKEN.test(transferToken)) {
        checks.add('transferToken', 'must be 32 bytes in lower case hex');
      }
      checkContents(request.incoming?.privateFiles ?? [], checks);
      const vm = readIncoming(request, checks, context);
      context.about({ migrationId });
      const transfer = await incoming.prepare(
        { migrationId, incoming: vm, transferToken },
        context.caller.nodeName,
        context.signal,
      );
      return { transferHost: transfer.host, transferPort: toUint32(transfer.port) };
    },

    async getIncoming(request, context) {
      const { migrationId, vmUid } = readIds(request, new FieldChecks(), context);
      const { nodeName } = context.caller;
      return toIncomingReport(await incoming.get(migrationId, vmUid, nodeName, context.signal));
    },

    async reportProgress(request, context) {
      const checks = new FieldChecks();
      const migrationId = checks.uuid('migrationId', request.migrationId);
      const progress = fromProgress(checks.required('progress', request.progress), checks);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot take in the progress of a migration');
      context.about({ migrationId, peer: context.caller.nodeName });
      await incoming.reportProgress(migrationId, progress, context.caller.nodeName);
      return {};
    },

    async releaseIncoming(request, context) {
      const checks = new FieldChecks();
      const outcome = checks.oneOf<'commit' | 'abort'>(
        'outcome',
        request.outcome,
        OUTCOMES,
        'abort',
      );
      const { migrationId, vmUid } = readIds(request, checks, context);
      const { caller, signal } = context;
      const result = request.result && fromResult(request.result);
      const end = outcome === 'commit' ? { outcome, result } : { outcome, ...whyOf(request) };
      const released = await incoming.release(migrationId, vmUid, end, caller.nodeName, signal);
      return { wireBytes: toUint64(released.wireBytes ?? 0) };
    },

    async locateVirtualMachine(request, context) {
      const checks = new FieldChecks();
      const vmUid = readVmUid(request, checks, context);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which VM is meant');
      const { caller, signal } = context;
      return toSighting(await ownership.locate(vmUid, caller.nodeName, signal));
    },

    async handOverVirtualMachine(request, context) {
      const checks = new FieldChecks();
      const vmUid = readVmUid(request, checks, context);
      const ownershipEpoch = checks.count('ownershipEpoch', request.ownershipEpoch);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which VM is meant');
      const { caller, signal } = context;
      const asked = { vmUid, ownershipEpoch };
      return { ownershipEpoch: toUint64(await ownership.handOver(asked, caller.nodeName, signal)) };
    },
  };
}

function readVmUid(
  request: { readonly virtualMachineUid: string },
  checks: FieldChecks,
  context: CallContext,
): string {
  const vmUid = checks.uuid('virtualMachineUid', request.virtualMachineUid);
  context.about({ vmId: vmUid, peer: context.caller.nodeName });
  return vmUid;
}

function readIncoming(
  request: IncomingFields,
  checks: FieldChecks,
  context: CallContext,
): IncomingVm {
  // First, as the rest may only look wrong to an agent that does not understand it.
  assertFeatures(request.requiredFeatures);
  const vm = fromIncomingFields(request, checks);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot take in a VM');
  context.about({ ...vmFields(vm.definition), peer: context.caller.nodeName });
  return vm;
}

function readIds(
  request: { readonly migrationId: string; readonly virtualMachineUid: string },
  checks: FieldChecks,
  context: CallContext,
) {
  const migrationId = checks.uuid('migrationId', request.migrationId);
  const vmUid = checks.uuid('virtualMachineUid', request.virtualMachineUid);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which migration is meant');
  context.about({ migrationId, vmId: vmUid, peer: context.caller.nodeName });
  return { migrationId, vmUid };
}

/** Of a newer agent the reason may be unknown here, and its sentence still says it. */
function whyOf({ reason, message }: ReleaseIncomingRequest) {
  if (reason === '') return {};
  return { reason: isReason(reason) ? reason : ('MIGRATION_FAILED' as const), message };
}
