import { AgentError, type FieldViolation, type Reason } from '../errors.ts';
import * as z from '../zod.ts';
import { type Machine, machine } from './machine.ts';
import { describeIssues, schemaMessages } from './schema-issues.ts';
import { checkSupport } from './support.ts';
import { machineProblems } from './virtual-machine-rules.ts';

const checkedMachine = z.object({ machine }).check((context) => {
  for (const { path, message } of machineProblems(context.value.machine)) {
    const at = ['machine', ...path];
    context.issues.push({ code: 'custom', path: at, message, input: context.value });
  }
});

/** Checks a machine alone, as `spec.template.spec` would be. Fails with INVALID_SPEC or NOT_SUPPORTED. */
export function parseMachine(document: unknown): Machine {
  const result = checkedMachine.safeParse({ machine: document }, schemaMessages);
  if (!result.success) throw refusal('INVALID_SPEC', describeIssues(result.error, checkedMachine));
  const { refused } = checkSupport(checkedMachine, result.data);
  if (refused.length > 0) throw refusal('NOT_SUPPORTED', refused);
  return result.data.machine;
}

function refusal(reason: Reason, violations: readonly FieldViolation[]): AgentError {
  const [first] = violations;
  const message = `Cannot accept the machine: ${first?.field} ${first?.description}`;
  return new AgentError(reason, message, { violations });
}
