import { AgentError } from '../../core/errors.ts';
import type { Connection, Domain } from './connection.ts';
import { parseXml } from './domain-xml/xml-parser.ts';
import { attributeOf, childrenOf, findElement } from './domain-xml/xml-query.ts';
import { LibvirtError } from './errors.ts';
import {
  CONSOLE_FORCE,
  CONSOLE_SAFE,
  KEYCODES_LINUX,
  STREAM_NONBLOCK,
} from './libvirt-constants.ts';
import type { StreamPointer } from './native-pointers.ts';
import { PassedDescriptor } from './passed-descriptor.ts';

/*
 * What a call thread opens of a domain's console and screen. What comes of it outlives the call: a stream keeps the connection
 * that it was made on.
 */

const HOLD_MS = 100;
const ENDLESS = 1;
const ENDING = 0;

export async function openConsole(
  connection: Connection,
  uid: string,
  takeOver: boolean,
): Promise<PassedDescriptor> {
  using domain = await connection.getDomain(uid);
  const flags = CONSOLE_SAFE | (takeOver ? CONSOLE_FORCE : 0);
  try {
    return await relay(connection, ENDLESS, (stream) =>
      connection.check(connection.libvirt.openConsole(domain.pointer, null, stream, flags)),
    );
  } catch (error) {
    throw isTaken(error)
      ? new AgentError(
          'CONSOLE_IN_USE',
          'another program has it open, such as virsh console; end that one, or take it over',
        )
      : withoutConsole(error);
  }
}

export async function openDisplay(connection: Connection, uid: string): Promise<PassedDescriptor> {
  using domain = await connection.getDomain(uid);
  await assertActive(domain);
  const index = vncIndexOf(await domain.getXml(0));
  const opened = connection.libvirt.openGraphics(domain.pointer, index, 0);
  try {
    return new PassedDescriptor(await connection.check(opened));
  } catch (error) {
    throw withoutDisplay(error);
  }
}

/** What is sent is a picture as QEMU makes it; see `readPicture`. */
export async function takeScreenshot(
  connection: Connection,
  uid: string,
): Promise<PassedDescriptor> {
  using domain = await connection.getDomain(uid);
  await assertActive(domain);
  try {
    return await relay(connection, ENDING, (stream) =>
      connection.checkPointer(connection.libvirt.screenshot(domain.pointer, stream, 0, 0)),
    );
  } catch (error) {
    throw withoutDisplay(error);
  }
}

export async function sendKeys(
  connection: Connection,
  uid: string,
  codes: readonly number[],
): Promise<void> {
  using domain = await connection.getDomain(uid);
  const list = Uint32Array.from(codes);
  const { libvirt } = connection;
  const sent = libvirt.sendKey(domain.pointer, KEYCODES_LINUX, HOLD_MS, list, list.length, 0);
  await connection.check(sent);
}

async function relay(
  connection: Connection,
  isEndless: 0 | 1,
  open: (stream: StreamPointer) => Promise<unknown>,
): Promise<PassedDescriptor> {
  const { libvirt } = connection;
  const stream = libvirt.newStream(connection.pointer, STREAM_NONBLOCK);
  if (stream === null) throw new LibvirtError(0, 'libvirt makes no stream');
  let isTakenOver = false;
  try {
    await open(stream);
    const fd = libvirt.startRelay(stream, isEndless);
    if (fd < 0) throw new LibvirtError(0, 'there are no descriptors or no memory left for it');
    isTakenOver = true;
    return new PassedDescriptor(fd);
  } finally {
    if (!isTakenOver) libvirt.freeStream(stream);
  }
}

/** libvirt has no number of its own for it. */
function isTaken(error: unknown): boolean {
  return error instanceof LibvirtError && error.message.includes('Active console session');
}

/** In the words of libvirt 9 to 11. Ours all have one. */
function withoutConsole(error: unknown): unknown {
  const words = /cannot find character device|is not using a PTY|no console devices/i;
  if (!(error instanceof LibvirtError) || !words.test(error.message)) return error;
  return new AgentError(
    'CONSOLE_NOT_FOUND',
    'it has no serial console that can be opened, as one of the type pty',
  );
}

/** Which of its screens is seen by VNC: one that somebody else has made may have others. The first where there is none at all. */
function vncIndexOf(xml: string): number {
  const types = childrenOf(findElement(parseXml(xml), 'devices'), 'graphics').map((screen) =>
    attributeOf(screen, 'type'),
  );
  const index = types.indexOf('vnc');
  if (index >= 0 || types.length === 0) return Math.max(index, 0);
  throw new AgentError('DISPLAY_NOT_FOUND', `it has one for ${types.join(', ')} and none for VNC`);
}

/** In the words of libvirt 9 to 11. */
function withoutDisplay(error: unknown): unknown {
  const words = /no graphics backend|no screens|no console to take/i;
  if (!(error instanceof LibvirtError) || !words.test(error.message)) return error;
  return new AgentError('DISPLAY_NOT_FOUND', 'it has none');
}

/** libvirt looks for the display first, and finds none of a domain that is off. */
async function assertActive(domain: Domain): Promise<void> {
  if (!(await domain.isActive())) throw new AgentError('VM_NOT_RUNNING', 'it is off');
}
