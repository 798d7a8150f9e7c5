import { createHash, randomUUID } from 'node:crypto';
import { withEjections } from '../../core/ejected-media.ts';
import { withMaskedFields } from '../../core/resources/field-mask.ts';
import { parseVirtualMachine, type WantedVm } from '../../core/resources/parse-virtual-machine.ts';
import { passwordSecretOf } from '../../core/resources/password-secret.ts';
import { runStrategyOf, startsAtOnce } from '../../core/resources/run-strategy.ts';
import { virtualMachine } from '../../core/resources/virtual-machine.ts';
import { PASSWORD_FILE, USER_DATA_FILE, userDataDigestOf } from '../../core/user-data.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';

/** The definition of a VM that is new to this node. Of its user data it has the digest only, as what is wanted must. */
export function newDefinition({ metadata, spec }: WantedVm, owner: string): VmDefinition {
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid ?? randomUUID(),
    generation: 1,
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    createdAtMs: Date.now(),
    spec,
    ownershipEpoch: 1,
    owner,
    intent: startsAtOnce(runStrategyOf(spec)) ? 'on' : 'off',
    privateFiles: withSecretsOf(spec, {}),
    madeDisks: {},
    newer: undefined,
  };
}

/**
 * A definition with what is wanted of it now. Another run strategy is a wish to run or not of its own; the same one
 * again does not undo what a caller has asked for since.
 */
export function changedDefinition(
  current: VmDefinition,
  { metadata, spec }: WantedVm,
): VmDefinition {
  const strategy = runStrategyOf(spec);
  const keeps = strategy === runStrategyOf(current.spec) || strategy === 'Manual';
  const changed: VmDefinition = {
    ...current,
    generation: current.generation + 1,
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    spec,
    intent: keeps ? current.intent : startsAtOnce(strategy) ? 'on' : 'off',
    privateFiles: withSecretsOf(spec, current.privateFiles),
  };
  return withEjections(changed, current.ejected);
}

/** A definition that has these private files, by name. */
export function withPrivateFiles(
  definition: VmDefinition,
  files: Readonly<Record<string, Uint8Array | undefined>>,
): VmDefinition {
  const digests = Object.entries(files).flatMap(([name, content]) => {
    if (content === undefined) return [];
    return [[name, createHash('sha256').update(content).digest('hex')] as const];
  });
  if (digests.length === 0) return definition;
  const privateFiles = { ...definition.privateFiles, ...Object.fromEntries(digests) };
  return { ...definition, privateFiles };
}

/** Of a password it keeps what is there for as long as one is wanted. */
function withSecretsOf(
  spec: VmDefinition['spec'],
  files: VmDefinition['privateFiles'],
): VmDefinition['privateFiles'] {
  const { [USER_DATA_FILE]: _, [PASSWORD_FILE]: password, ...others } = files;
  const digest = userDataDigestOf(spec);
  const keepsPassword = password !== undefined && passwordSecretOf(spec) !== undefined;
  return {
    ...others,
    ...(keepsPassword && { [PASSWORD_FILE]: password }),
    ...(digest !== undefined && { [USER_DATA_FILE]: digest }),
  };
}

/** A definition in the form of a manifest: what a caller would have to give to get it. */
export function wantedOf(definition: VmDefinition): WantedVm {
  const { name, namespace, uid, labels, annotations, spec } = definition;
  return { metadata: { name, namespace, uid, labels, annotations }, spec };
}

/** What a manifest wants of a VM, by the fields of the mask or whole; undefined for one that is not there. */
export function wantedVm(
  current: VmDefinition | undefined,
  manifest: unknown,
  mask: readonly string[] | undefined,
): WantedVm {
  if (mask === undefined || current === undefined) return parseVirtualMachine(manifest);
  const { metadata, spec } = wantedOf(current);
  return parseVirtualMachine(
    withMaskedFields({ metadata, spec }, { ...(manifest as object) }, mask, virtualMachine),
  );
}
