import { createInterface } from 'node:readline';
import { AgentError } from '../../core/errors.ts';
import type {
  ImageAnswer,
  ImageProcessSettings,
  ImageProgressLine,
  ImageQuestion,
  StoreQuestion,
} from './image-protocol.ts';
import { LocalDiskFiles } from './local-disk-files.ts';
import { LocalImageStore } from './local-image-store.ts';
import { QemuImgInspector } from './qemu-img-inspector.ts';

/*
 * A process of its own, because a file on storage that has gone away keeps whoever looks at it for ever: of the agent
 * it would keep one of the few threads that all of its files go through.
 */

const settings = JSON.parse(process.argv[2] ?? '{}') as ImageProcessSettings;
const inspector = new QemuImgInspector(settings);
const disks = new LocalDiskFiles(settings);
/** Its starter kills it before. */
const NEVER = new AbortController().signal;

function work(question: ImageQuestion): Promise<unknown> {
  switch (question.verb) {
    case 'find':
      return inspector.find(question.query, NEVER);
    case 'findBootFile':
      return inspector.findBootFile(question.path, question.user, NEVER);
    case 'measure':
      return inspector.measure(question.query);
    case 'makeDisk':
      return disks.make(question.disk, NEVER);
    case 'resizeDisk':
      return disks.resize(question.disk, NEVER);
    case 'copyImage':
      return disks.copy(question.disk, (progress) => tell({ progress }), NEVER);
    case 'discardCopy':
      return disks.discardCopy(question.path, NEVER);
    case 'removeDisk':
      return disks.remove(question.path, NEVER);
    case 'listDisks':
      return disks.list(question.folder, NEVER);
    case 'isUnusedDisk':
      return disks.isUnused(question.disk, NEVER);
    case 'isLocalFolder':
      return disks.isLocal(question.folder, NEVER);
    case 'availableBytes':
      return disks.availableBytes(question.folder, NEVER);
    default:
      return workOnImages(question);
  }
}

function workOnImages(question: StoreQuestion): Promise<unknown> {
  const { folder } = question;
  const store = new LocalImageStore({ ...settings, folder });
  switch (question.verb) {
    case 'prepareImages':
      return store.prepare(NEVER);
    case 'admitImage':
      return store.admit(question.request, NEVER);
    case 'discardFetched':
      return store.discard(question.path);
    case 'listImages':
      return store.list(NEVER);
    case 'noteImage':
      return store.note(question.digest, question.note, NEVER);
    case 'removeImage':
      return store.remove(question.digest, NEVER);
    case 'verifyImage':
      return store.verify(question.digest, NEVER);
    case 'listParts':
      return store.listParts(question.names, NEVER);
    case 'discardPart':
      return store.discardPart(question.name, NEVER);
    case 'tidyImages':
      return store.tidy(question.wanted, NEVER);
    default:
      throw new Error(`No question: ${JSON.stringify(question satisfies never)}`);
  }
}

async function answerTo(question: ImageQuestion): Promise<ImageAnswer> {
  try {
    return { found: await work(question) };
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return { failure: { reason: error.reason, message: error.message } };
  }
}

function tell(line: ImageAnswer | ImageProgressLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** By a signal: an orderly end would wait for a thread that hangs. */
function end(): void {
  // With what it has started: it leads a group of its own.
  process.kill(-process.pid, 'SIGKILL');
}

process.stdout.on('error', end);
createInterface({ input: process.stdin })
  .on('line', (line) => {
    void answerTo(JSON.parse(line) as ImageQuestion).then(tell);
  })
  // Whoever asked has gone.
  .on('close', end);
