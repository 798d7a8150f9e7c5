import { createHash } from 'node:crypto';
import { isRecord } from '../../core/is-record.ts';
import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import { holdsUserData, userDataDigestOf, withoutUserData } from '../../core/user-data.ts';
import type { OperationParameters } from '../operations/operation.ts';
import type { SecretParameter } from '../operations/operation-work.ts';
import type { GivenSecrets } from './given-secrets.ts';

/** The secrets of an operation on a VM: the user data in its manifest, and those that were given beside it. */
export const SECRET_PARAMETERS: SecretParameter = {
  contentOf(parameters) {
    const userData = userDataIn(parameters);
    const secrets = givenIn(parameters);
    if (secrets === undefined) return userData === undefined ? undefined : Buffer.from(userData);
    return contentWith(userData, secrets);
  },
  withDigest(parameters) {
    const plain = withUserDataDigest(parameters);
    const digest = givenDigestOf(parameters);
    return digest === undefined ? plain : { ...plain, secrets: digest };
  },
  digestOf(parameters) {
    const spec = specWithUserData(parameters);
    return givenDigestOf(parameters) ?? (spec && userDataDigestOf(spec));
  },
  withContent(parameters, content) {
    const text = Buffer.from(content).toString('utf8');
    if (givenDigestOf(parameters) === undefined) return withUserData(parameters, text);
    const { userData, secrets } = JSON.parse(text) as Content;
    const plain = userData === undefined ? parameters : withUserData(parameters, userData);
    return { ...plain, secrets };
  },
};

/** What stands in the private file of an operation where secrets were given. */
interface Content {
  readonly userData?: string | undefined;
  readonly secrets: GivenSecrets;
}

/** The same for the same secrets, in whatever order they were given. */
function contentWith(userData: string | undefined, secrets: GivenSecrets): Uint8Array {
  const sorted = Object.fromEntries(
    Object.entries(secrets).toSorted(([one], [other]) => (one < other ? -1 : 1)),
  );
  return Buffer.from(JSON.stringify({ userData, secrets: sorted } satisfies Content));
}

/** Undefined for their digest alone. */
function givenIn({ secrets }: OperationParameters): GivenSecrets | undefined {
  return isRecord(secrets) ? (secrets as GivenSecrets) : undefined;
}

/** SHA-256 in hex of all there is to hide where secrets were given, be they there or not. */
function givenDigestOf(parameters: OperationParameters): string | undefined {
  const { secrets } = parameters;
  if (typeof secrets === 'string') return secrets;
  const given = givenIn(parameters);
  if (given === undefined) return undefined;
  return createHash('sha256')
    .update(contentWith(userDataIn(parameters), given))
    .digest('hex');
}

function userDataIn(parameters: OperationParameters): string | undefined {
  const spec = specWithUserData(parameters);
  if (spec === undefined || !holdsUserData(spec)) return undefined;
  return spec.template.spec.userData ?? '';
}

/** The manifest may be one that nobody has checked yet. */
function specWithUserData({ manifest }: OperationParameters): VmSpec | undefined {
  const { spec } = manifest as { readonly spec?: Partial<VmSpec> };
  return spec?.template?.spec?.userData === undefined ? undefined : (spec as VmSpec);
}

function withUserDataDigest(parameters: OperationParameters): OperationParameters {
  const spec = specWithUserData(parameters);
  return spec === undefined ? parameters : withSpec(parameters, withoutUserData(spec));
}

function withUserData(parameters: OperationParameters, userData: string): OperationParameters {
  const spec = specWithUserData(parameters);
  if (spec === undefined) return parameters;
  const machine = { ...spec.template.spec, userData };
  return withSpec(parameters, { ...spec, template: { ...spec.template, spec: machine } });
}

function withSpec(parameters: OperationParameters, spec: VmSpec): OperationParameters {
  return { ...parameters, manifest: { ...(parameters['manifest'] as object), spec } };
}
