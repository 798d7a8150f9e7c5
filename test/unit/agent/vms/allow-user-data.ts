import type { DefinitionValidator } from '../../../../src/agent/vms/definition-validator.ts';

/** Lets VMs have user data, as if there were something that gives them to guests. */
export function allowUserData(validator: DefinitionValidator): void {
  const supportOf = validator.supportOf.bind(validator);
  validator.supportOf = (vm) => {
    const support = supportOf(vm);
    const refused = support.refused.filter(({ field }) => field !== 'spec.template.spec.userData');
    return { ...support, refused };
  };
}
