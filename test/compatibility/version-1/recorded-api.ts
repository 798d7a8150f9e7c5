import path from 'node:path';
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  loadSync,
  type MessageTypeDefinition,
  type MethodDefinition,
  type ServiceDefinition,
} from '@grpc/proto-loader';

/** A message, its fields by the names that the recorded API has for them; what it does not know is not there. */
// oxlint-disable-next-line typescript/no-explicit-any -- Nothing but the recorded text says what is in it.
export type Message = Readonly<Record<string, any>>;

export type Method = MethodDefinition<Message, Message>;

const FILES = [
  'novacron/agent/v1/virtual_machine.proto',
  'novacron/agent/v1/migration.proto',
  'novacron/agent/v1/node.proto',
  'novacron/peer/v1/peer.proto',
  'google/rpc/status.proto',
  'google/rpc/error_details.proto',
];

const RECORDED = path.join(import.meta.dirname, 'proto');
const STATUS_KEY = 'grpc-status-details-bin';
const ERROR_INFO = 'google.rpc.ErrorInfo';

/** Version 1 of the API as its text was, read at run time: nothing of today's agent is in it. */
export class RecordedApi {
  readonly #definitions: ReturnType<typeof loadSync>;

  /** Reads another text than the recorded one if given its folder. */
  constructor(folder = RECORDED) {
    const options = { longs: Number, enums: String, defaults: true };
    this.#definitions = loadSync(FILES, { includeDirs: [folder], ...options });
  }

  service(name: string): ServiceDefinition {
    const group = name === 'PeerService' ? 'peer' : 'agent';
    return this.#find(`novacron.${group}.v1.${name}`) as ServiceDefinition;
  }

  /** A method by its service and name, such as `NodeService/GetNode`. */
  method(name: string): Method {
    const [service = '', method = ''] = name.split('/');
    const found = this.service(service)[method];
    if (found === undefined) throw new Error(`Version 1 has no method ${name}`);
    return found as Method;
  }

  /** What a call is refused with. */
  refusal(code: number, reason: string, message: string) {
    const value = this.#type(ERROR_INFO).serialize({ reason, domain: 'agent.novacron.io' });
    const details = [{ type_url: `type.googleapis.com/${ERROR_INFO}`, value }];
    const status = this.#type('google.rpc.Status').serialize({ code, message, details });
    const metadata = new Metadata();
    metadata.set(STATUS_KEY, status);
    return { code, details: message, metadata };
  }

  /** Why a call has failed, for programs. */
  reasonOf({ metadata }: ServiceError): string {
    const [bytes] = metadata.get(STATUS_KEY);
    if (!(bytes instanceof Buffer)) return '';
    const { details } = this.#type('google.rpc.Status').deserialize(bytes);
    const packed = details.find(({ type_url: type }: Message) => `${type}`.endsWith(ERROR_INFO));
    return packed === undefined ? '' : this.#type(ERROR_INFO).deserialize(packed.value)['reason'];
  }

  #type(name: string): MessageTypeDefinition<Message, Message> {
    return this.#find(name) as unknown as MessageTypeDefinition<Message, Message>;
  }

  #find(name: string) {
    const found = this.#definitions[name];
    if (found === undefined) throw new Error(`Version 1 has no ${name}`);
    return found;
  }
}
