import { AgentError, type FieldViolation, type Reason } from '../../core/errors.ts';
import { labels } from '../../core/resources/field-schemas.ts';

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const HOST_PORT = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253}):(\d{1,5})$/;

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
    if (!DNS_LABEL.test(value)) this.add(field, 'must be a DNS label of at most 63 characters');
    return value;
  }

  dnsName(field: string, value: string): string {
    if (!DNS_NAME.test(value)) this.add(field, 'must be a DNS name, such as node-1');
    return value;
  }

  namespace(field: string, value: string): string {
    return value === '' ? 'default' : this.dnsLabel(field, value);
  }

  uuid(field: string, value: string): string {
    if (!UUID.test(value)) this.add(field, 'must be a UUID in lower case');
    return value;
  }

  optionalUuid(field: string, value: string): string | undefined {
    return value === '' ? undefined : this.uuid(field, value);
  }

  /** By the rules of Kubernetes, as everywhere else. */
  labels(field: string, value: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    const issues = labels.safeParse(value).error?.issues ?? [];
    for (const { path, message } of issues) {
      this.add(path.length === 0 ? field : `${field}[${JSON.stringify(path[0])}]`, message);
    }
    return value;
  }

  hostPort(field: string, value: string): string {
    const port = Number(HOST_PORT.exec(value)?.[2] ?? 0);
    if (port < 1 || port > 65_535) this.add(field, 'must be HOST:PORT');
    return value;
  }

  /** A text of one line: control characters have no place in a path, a model or a command line. */
  text(field: string, value: string, maxBytes: number): string {
    if (/\p{Cc}/u.test(value)) this.add(field, 'must not hold control characters');
    if (Buffer.byteLength(value) > maxBytes) this.add(field, `must have at most ${maxBytes} bytes`);
    return value;
  }

  optionalText(field: string, value: string, maxBytes: number): string | undefined {
    return value === '' ? undefined : this.text(field, value, maxBytes);
  }

  absolutePath(field: string, value: string): string {
    if (!value.startsWith('/')) this.add(field, 'must be an absolute path');
    return this.text(field, value, 4_096);
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
}
