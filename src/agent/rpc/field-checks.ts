import { DNS_NAME } from '../../core/dns-name.ts';
import { AgentError, type FieldViolation, type Reason } from '../../core/errors.ts';
import { hostPortProblem } from '../../core/host-port.ts';
import { dnsLabel, labels, uuid } from '../../core/resources/field-schemas.ts';
import { fieldPath } from '../../core/resources/schema-issues.ts';
import type * as z from '../../core/zod.ts';

/**
 * Collects what is wrong with a request, so that a caller is told everything at once. Each check gives the
 * value in our own type, or a stand-in after a violation: call `throwIfAny` before anything is used.
 */
export class FieldChecks {
  readonly #violations: FieldViolation[] = [];

  add(field: string, description: string): void {
    this.#violations.push({ field, description });
  }

  /** The only way to leave a conversion with its values. */
  throwIfAny(reason: Reason, what: string): void {
    const [first] = this.#violations;
    if (first === undefined) return;
    const more = this.#violations.length === 1 ? '' : ` (and ${this.#violations.length - 1} more)`;
    throw new AgentError(reason, `${what}: ${first.field} ${first.description}${more}`, {
      violations: this.#violations,
    });
  }

  dnsLabel(field: string, value: string): string {
    return this.#bySchema(dnsLabel, field, value);
  }

  dnsName(field: string, value: string): string {
    if (!DNS_NAME.test(value)) this.add(field, 'must be a DNS name, such as node-1');
    return value;
  }

  namespace(field: string, value: string): string {
    return value === '' ? 'default' : this.dnsLabel(field, value);
  }

  uuid(field: string, value: string): string {
    return this.#bySchema(uuid, field, value);
  }

  optionalUuid(field: string, value: string): string | undefined {
    return value === '' ? undefined : this.uuid(field, value);
  }

  /** By the rules of Kubernetes, as everywhere else. */
  labels(field: string, value: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    return this.#bySchema(labels, field, value);
  }

  hostPort(field: string, value: string): string {
    const problem = hostPortProblem(value, 'reach');
    if (problem !== undefined) this.add(field, problem);
    return value;
  }

  /** A text of one line: control characters have no place in a path, a model or a command line. */
  text(field: string, value: string, maxBytes: number): string {
    if (/\p{Cc}/u.test(value)) this.add(field, 'must not hold control characters');
    if (Buffer.byteLength(value) > maxBytes) this.add(field, `must have at most ${maxBytes} bytes`);
    return value;
  }

  integer(field: string, value: number, min: number, max: number): number {
    if (value < min || value > max) this.add(field, `must be from ${min} to ${max}`);
    return value;
  }

  /** A 64-bit number that a JavaScript number holds exactly. */
  count(field: string, value: bigint): number {
    if (value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    this.add(field, 'must be from 0 to 9007199254740991');
    return 0;
  }

  /** The message, or a violation if it is not set. */
  required<T>(field: string, value: T | undefined): T | undefined {
    if (value === undefined) this.add(field, 'is required');
    return value;
  }

  /** What a number of the API's enum means; `standIn` is given back after a violation. */
  oneOf<T>(field: string, value: number, meanings: Readonly<Record<number, T>>, standIn: T): T {
    const meaning = Object.hasOwn(meanings, value) ? meanings[value] : undefined;
    if (meaning !== undefined) return meaning;
    this.add(field, value === 0 ? 'must be given' : `has the unknown value ${value}`);
    return standIn;
  }

  #bySchema<T>(schema: z.ZodType<T>, field: string, value: T): T {
    for (const { path, message } of schema.safeParse(value).error?.issues ?? []) {
      this.add(`${field}.${fieldPath(path)}`.replace(/\.(?=\[|$)/, ''), message);
    }
    return value;
  }
}
