import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import { holdsUserData, userDataDigestOf, withoutUserData } from '../../core/user-data.ts';
import type { OperationParameters } from '../operations/operation.ts';
import type { SecretParameter } from '../operations/operation-work.ts';

/** The user data in the manifest of an operation. */
export const USER_DATA_PARAMETER: SecretParameter = {
  contentOf(parameters) {
    const spec = specWithUserData(parameters);
    if (spec === undefined || !holdsUserData(spec)) return undefined;
    return Buffer.from(spec.template.spec.userData ?? '');
  },
  withDigest(parameters) {
    const spec = specWithUserData(parameters);
    return spec === undefined ? parameters : withSpec(parameters, withoutUserData(spec));
  },
  digestOf(parameters) {
    const spec = specWithUserData(parameters);
    return spec && userDataDigestOf(spec);
  },
  withContent(parameters, content) {
    const spec = specWithUserData(parameters);
    if (spec === undefined) return parameters;
    const machine = { ...spec.template.spec, userData: Buffer.from(content).toString('utf8') };
    return withSpec(parameters, { ...spec, template: { ...spec.template, spec: machine } });
  },
};

/** The manifest may be one that nobody has checked yet. */
function specWithUserData({ manifest }: OperationParameters): VmSpec | undefined {
  const { spec } = manifest as { readonly spec?: Partial<VmSpec> };
  return spec?.template?.spec?.userData === undefined ? undefined : (spec as VmSpec);
}

function withSpec(parameters: OperationParameters, spec: VmSpec): OperationParameters {
  return { ...parameters, manifest: { ...(parameters['manifest'] as object), spec } };
}
